"""The page: files of the package, as they are."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from unmask.serve.guards import PAGE

FOLDER = Path(__file__).parent.parent / "page"
router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(FOLDER / "index.html", headers={"cache-control": "no-cache"})


@router.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    return FileResponse(FOLDER / "docs.html", headers={"cache-control": "no-cache"})


def add_page(app: FastAPI) -> None:
    app.include_router(router)
    app.mount(PAGE, StaticFiles(directory=FOLDER), name="page")
