"""`GET /`: the page on which one types and hears."""

from pathlib import Path
from typing import Any

from litestar import Request, Response, Router, get
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.params import FromPath

from app.errors import NotFound

_FOLDER = Path(__file__).parent.parent / "page"
_MEDIA = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}  # Litestar adds the charset


class ApiPage(OpenAPIRenderPlugin):
    """`GET /docs`: the OpenAPI document for reading; its parts come from `/page`, nothing from another host."""

    def __init__(self) -> None:
        super().__init__(path="/")
        self._page = (_FOLDER / "docs.html").read_bytes()

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        """The page, which fetches the document itself."""
        return self._page


def page(*, keyed: bool) -> Router:
    """The routes; the files are read once, at start. `keyed`: the page asks for a key from the beginning."""
    files = {path.name: (path.read_bytes(), _MEDIA[path.suffix]) for path in sorted(_FOLDER.iterdir())}

    if keyed:
        content, media = files["index.html"]
        files["index.html"] = (content.replace(b'id="asked" hidden', b'id="asked"'), media)

    def served(name: str) -> Response[bytes]:
        if name not in files:
            raise NotFound("The page has no such file.")
        content, media = files[name]
        return Response(content, media_type=media, headers={"Cache-Control": "no-cache"})

    @get("/", include_in_schema=False, sync_to_thread=False)
    def index() -> Response[bytes]:
        return served("index.html")

    @get("/page/{name:str}", include_in_schema=False, sync_to_thread=False)
    def asset(name: FromPath[str]) -> Response[bytes]:
        return served(name)

    return Router("/", route_handlers=[index, asset])
