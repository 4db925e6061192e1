"""The entry point: `streamlit run` in this folder finds it and opens the app."""

import asyncio
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware

from app import settings
from app.work import process
from app.work.own import VisitorCookie

settings.require_valid()
process.begin()


@asynccontextmanager
async def warm_up(_: st.App):
    """Load the default model before the first visitor comes, and go on with kept work."""
    from app.shell.benchmark_jobs import resume_benchmarks
    from app.shell.models import preload_default
    from app.shell.study_jobs import resume_studies

    preload_default()
    resume_studies()
    resume_benchmarks()
    giving_back = asyncio.create_task(process.give_back())
    yield
    giving_back.cancel()


app = st.App("app/main.py", lifespan=warm_up, middleware=[Middleware(VisitorCookie)])
