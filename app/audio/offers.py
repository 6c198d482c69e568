"""The rates on offer: plain numbers, for settings and messages, without a codec behind them."""

from typing import Final

SAMPLE_RATES: Final = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
"""Of wav, pcm and flac, in Hz."""
MP3_BIT_RATES: Final = (32_000, 48_000, 64_000, 96_000, 128_000, 160_000)
"""In bits per second: those whose frames are a whole number of bytes."""
OPUS_BIT_RATES: Final = (16_000, 24_000, 32_000, 48_000, 64_000, 96_000)
AAC_BIT_RATES: Final = (32_000, 48_000, 64_000, 96_000, 128_000)
