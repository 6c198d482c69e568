"""`GET /`: the page on which one types and hears."""

from pathlib import Path

from litestar import Response, Router, get
from litestar.params import FromPath

from app.errors import NotFound

_FOLDER = Path(__file__).parent.parent / "page"
_MEDIA = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}  # Litestar adds the charset
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob:; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page() -> Router:
    """The routes; the files are read once, at start."""
    files = {path.name: (path.read_bytes(), _MEDIA[path.suffix]) for path in sorted(_FOLDER.iterdir())}

    def served(name: str) -> Response[bytes]:
        if name not in files:
            raise NotFound("The page has no such file.")
        content, media = files[name]
        headers = {
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }
        return Response(content, media_type=media, headers=headers)

    @get("/", include_in_schema=False, sync_to_thread=False)
    def index() -> Response[bytes]:
        return served("index.html")

    @get("/page/{name:str}", include_in_schema=False, sync_to_thread=False)
    def asset(name: FromPath[str]) -> Response[bytes]:
        return served(name)

    return Router("/", route_handlers=[index, asset])
