"""One call by a vendor's own SDK. Runs in the environment of requirements.txt: `python sdk.py VENDOR URL [FILE]`."""

import sys
from collections.abc import Callable

TEXT = "The canary sings quietly at dawn."


def openai(url: str) -> None:
    """Speech as PCM."""
    from openai import OpenAI

    client = OpenAI(api_key="k", base_url=f"{url}/v1", max_retries=0)
    client.audio.speech.create(
        model="tts-1", voice="alloy", input=TEXT, response_format="pcm", speed=1.5
    ).read()


def elevenlabs(url: str) -> None:
    """A stream with what makes a voice sound as it does."""
    from elevenlabs import ElevenLabs, VoiceSettings

    client = ElevenLabs(api_key="k", base_url=url)
    sound = client.text_to_speech.stream(
        "voiceA",
        text=TEXT,
        model_id="eleven_flash_v2_5",
        output_format="pcm_24000",
        voice_settings=VoiceSettings(stability=0.5, similarity_boost=0.75, speed=1.1),
        seed=7,
        language_code="en",
    )
    assert b"".join(sound)


def elevenlabs_timed(url: str) -> None:
    """The same with the times of characters."""
    from elevenlabs import ElevenLabs

    client = ElevenLabs(api_key="k", base_url=url)
    for _ in client.text_to_speech.stream_with_timestamps(
        "voiceA", text=TEXT, model_id="eleven_flash_v2_5", output_format="pcm_24000"
    ):
        pass


def google(url: str) -> None:
    """One synthesis over REST."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import texttospeech as speech
    from google.cloud.texttospeech_v1.services.text_to_speech.transports import TextToSpeechRestTransport

    transport = TextToSpeechRestTransport(
        host=url.removeprefix("http://"), url_scheme="http", credentials=AnonymousCredentials()
    )
    speech.TextToSpeechClient(transport=transport).synthesize_speech(
        input=speech.SynthesisInput(text=TEXT),
        voice=speech.VoiceSelectionParams(language_code="en-US", name="en-US-Neural2-A"),
        audio_config=speech.AudioConfig(
            audio_encoding=speech.AudioEncoding.LINEAR16,
            sample_rate_hertz=24_000,
            speaking_rate=1.5,
            pitch=-2.5,
        ),
    )


def google_timed(url: str) -> None:
    """Marks before words, of the beta's own client."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import texttospeech_v1beta1 as speech
    from google.cloud.texttospeech_v1beta1.services.text_to_speech.transports import TextToSpeechRestTransport

    words = " ".join(f'<mark name="{number}"/>{word}' for number, word in enumerate(TEXT.split()))
    transport = TextToSpeechRestTransport(
        host=url.removeprefix("http://"), url_scheme="http", credentials=AnonymousCredentials()
    )
    answer = speech.TextToSpeechClient(transport=transport).synthesize_speech(
        request=speech.SynthesizeSpeechRequest(
            input=speech.SynthesisInput(ssml=f'<speak>{words}<mark name="end"/></speak>'),
            voice=speech.VoiceSelectionParams(language_code="en-US", name="en-US-Neural2-A"),
            audio_config=speech.AudioConfig(
                audio_encoding=speech.AudioEncoding.LINEAR16, sample_rate_hertz=24_000
            ),
            enable_time_pointing=[speech.SynthesizeSpeechRequest.TimepointType.SSML_MARK],
        )
    )
    # What it reads of the double's answer is what the double is worth.
    assert [point.mark_name for point in answer.timepoints] == [*map(str, range(6)), "end"]
    assert answer.timepoints[0].time_seconds == 0 < answer.timepoints[1].time_seconds


def google_account(url: str) -> None:
    """The same with a service account's key, as the SDK's own client makes its transport."""
    from google.cloud import texttospeech as speech
    from google.cloud.texttospeech_v1.services.text_to_speech.transports import TextToSpeechRestTransport
    from google.oauth2.service_account import Credentials

    transport = TextToSpeechRestTransport(
        host=url.removeprefix("http://"),
        url_scheme="http",
        credentials=Credentials.from_service_account_file(sys.argv[3]),
        always_use_jwt_access=True,
    )
    speech.TextToSpeechClient(transport=transport).synthesize_speech(
        input=speech.SynthesisInput(text=TEXT),
        voice=speech.VoiceSelectionParams(language_code="en-US", name="en-US-Neural2-A"),
        audio_config=speech.AudioConfig(
            audio_encoding=speech.AudioEncoding.LINEAR16, sample_rate_hertz=24_000
        ),
    )


def deepgram(url: str) -> None:
    """Bare PCM."""
    from deepgram import DeepgramClient
    from deepgram.environment import DeepgramClientEnvironment

    places = DeepgramClientEnvironment(base=url, production=url, agent=url, agent_rest=url)
    client = DeepgramClient(api_key="k", environment=places)
    sound = client.speak.v1.audio.generate(
        text=TEXT, model="aura-2-thalia-en", encoding="linear16", container="none", sample_rate=24_000
    )
    assert b"".join(sound)


def cartesia(url: str) -> None:
    """Bare PCM."""
    from cartesia import Cartesia

    client = Cartesia(api_key="k", base_url=url, max_retries=0)
    client.tts.generate(
        model_id="sonic-3",
        transcript=TEXT,
        voice={"mode": "id", "id": "v1"},
        output_format={"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000},
        language="en",
        generation_config={"speed": 1.25, "volume": 1.5},
    ).read()


def polly(url: str) -> None:
    """Speech by the SDK's own client and signer."""
    import boto3

    client = boto3.client(
        "polly",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )
    client.synthesize_speech(
        Text=TEXT, TextType="text", VoiceId="Joanna", Engine="neural", OutputFormat="mp3", SampleRate="24000"
    )["AudioStream"].read()


CALLS: dict[str, Callable[[str], None]] = {
    call.__name__: call
    for call in (
        openai,
        elevenlabs,
        elevenlabs_timed,
        google,
        google_timed,
        google_account,
        deepgram,
        cartesia,
        polly,
    )
}

if __name__ == "__main__":
    CALLS[sys.argv[1]](sys.argv[2])
