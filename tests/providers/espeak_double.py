"""Stands in for espeak-ng where it is not installed: the same arguments, tones for speech. Run as a program."""

import io
import os
import sys
import wave

# The environment of the tests is not this program's: found by where it is.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120

VOICES = """Pty Language       Age/Gender VoiceName          File                 Other Languages
 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)
"""


def main() -> int:
    """As espeak-ng does."""
    flags = sys.argv[1:]
    if "--version" in flags:
        sys.stdout.write("eSpeak NG text-to-speech: 1.51  Data at: /usr/lib\n")
        return 0
    if "--voices" in flags:
        sys.stdout.write(VOICES)
        return 0
    voice = next(flag[2:] for flag in flags if flag.startswith("-v"))
    text = sys.stdin.buffer.read().decode()
    if voice == "nobody":
        sys.stderr.write("Error: The specified espeak-ng voice does not exist.\n")
        return 1
    speak(text, voice, int(flags[flags.index("-s") + 1]) / 175)
    return 3 if voice == "cut" else 0


def speak(text: str, voice: str, speed: float) -> None:
    """A tone at 22,050 Hz."""
    from providers.tones import tone_pcm  # noqa: PLC0415

    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(22_050)
        written.writeframes(tone_pcm(text, voice, speed=speed, sample_rate=22_050))
    sys.stdout.buffer.write(file.getvalue())


if __name__ == "__main__":
    sys.exit(main())
