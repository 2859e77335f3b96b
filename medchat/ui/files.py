"""Conversations as files to keep: /conversations/ID.md and .json, for those whose they are."""

import re
from typing import cast

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

from medchat.accounts import EXPORTED
from medchat.conversation_file import to_json, to_markdown
from medchat.errors import MedChatError, NotFound, StoreError
from medchat.ui.common import App, address_of, require

KINDS = {"md": (to_markdown, "text/markdown"), "json": (to_json, "application/json")}
TITLE_CHARS = 60


def add_routes(web: FastAPI, app: App) -> None:
    """Serves the files from `web`."""

    @web.get("/conversations/{conversation_id}.{kind}")
    def conversation_file(conversation_id: str, kind: str, request: Request) -> Response:
        try:
            asker = cast("gr.Request", request)
            owner = require(app, asker, "chat", "conversation file").id
            file = _file(app, owner, conversation_id, kind)
            app.accounts.note(owner, EXPORTED, conversation_id, {"kind": kind}, address_of(app, asker))
            return file
        except NotFound as error:
            return PlainTextResponse(f"{error}\n", 404)
        except StoreError as error:
            return PlainTextResponse(f"{error}\n", 503)
        except MedChatError as error:
            return PlainTextResponse(f"{error}\n", 403)


def _file(app: App, owner: str, conversation_id: str, kind: str) -> Response:
    if kind not in KINDS:
        raise NotFound("A conversation can be had as .md or .json.")
    write, media_type = KINDS[kind]
    conversation = app.store.conversation(owner, conversation_id)
    content = write(conversation, app.chat.turns(owner, conversation_id))
    disposition = f'attachment; filename="{file_name(conversation.title)}.{kind}"'
    return Response(content, media_type=f"{media_type}; charset=utf-8", headers={"content-disposition": disposition})


def file_name(title: str) -> str:
    """The title as a name that every system takes."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")[:TITLE_CHARS].rstrip("-")
    return f"medchat-{words}".rstrip("-")
