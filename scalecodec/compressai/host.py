"""The CompressAI that is installed: found, or refused by name."""

from __future__ import annotations

import warnings
from types import ModuleType

from scalecodec.errors import HostError

# Those whose every registered image model gives the same bytes here; their inner parts are replaced too.
KNOWN_VERSIONS = ("1.2.8",)


def load() -> ModuleType:
    """The package, imported; raises HostError where it is not installed or does not import."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own deprecations are not ours to show
            import compressai
            import compressai.ans
            import compressai.entropy_models
            import compressai.latent_codecs
            import compressai.models
    except ImportError as error:
        raise HostError(f"CompressAI cannot be imported: {error}") from error
    return compressai


def is_known(compressai: ModuleType) -> bool:
    """Whether this version is one of those we know from inside."""
    return getattr(compressai, "__version__", "") in KNOWN_VERSIONS


def refusal(compressai: ModuleType) -> str:
    """What to say of a version that is not known."""
    found, known = getattr(compressai, "__version__", "without a version"), ", ".join(KNOWN_VERSIONS)
    return f"CompressAI {found} is not known from inside, only {known}"
