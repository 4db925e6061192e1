"""The entry point: `streamlit run` in this folder finds it and opens the app."""

from contextlib import asynccontextmanager

import streamlit as st

from app import settings

settings.require_valid()


@asynccontextmanager
async def warm_up(_: st.App):
    """Load the default model before the first visitor comes, so that he need not wait for it."""
    from app.shell.models import preload_default

    preload_default()
    yield


app = st.App("app/main.py", lifespan=warm_up)
