"""Runs in an environment of its own, with pocketsphinx: what it hears in WAV files (16 kHz, mono), a line for each."""

import sys
import wave

from pocketsphinx import Decoder


def main(paths: list[str]) -> None:
    """Print the words of each file."""
    for path in paths:
        with wave.open(path) as file:
            sound = file.readframes(file.getnframes())
        decoder = Decoder(samprate=16_000, loglevel="FATAL")
        decoder.start_utt()
        decoder.process_raw(sound, no_search=False, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        sys.stdout.write(f"{found.hypstr if found else ''}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
