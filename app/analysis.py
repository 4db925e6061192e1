"""The tables of core, computed once for all users who ask the same.

Keys are the model's name and the texts; a table is small, a trace is not, so few traces are kept.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

import core
from app.models import load
from app.state import Request

TABLES = 256
TRACES = 4


def trace(request: Request) -> core.Trace:
    return _trace(request.model_name, request.prompt, request.target)


def forward_lens(request: Request, top_k: int = 5) -> pd.DataFrame:
    return _forward_lens(request.model_name, request.prompt, request.target, top_k)


def backward_lens(request: Request, matrix: str, normalize: bool = False) -> pd.DataFrame:
    return _backward_lens(request.model_name, request.prompt, request.target, matrix, normalize)


def gradient_rank(request: Request) -> pd.DataFrame:
    return core.gradient_rank(trace(request))


def vjp_norms(request: Request) -> pd.DataFrame:
    return core.vjp_norms(trace(request))


def rank_curve(request: Request) -> pd.DataFrame:
    return _rank_curve(request.model_name, request.prompt, request.target)


@st.cache_resource(max_entries=TRACES, show_spinner="Reading the prompt …", show_time=True)
def _trace(model_name: str, prompt: str, target: str) -> core.Trace:
    return core.trace(load(model_name), prompt, target)


@st.cache_data(max_entries=TABLES, show_spinner="Reading the prompt …", show_time=True)
def _forward_lens(model_name: str, prompt: str, target: str, top_k: int) -> pd.DataFrame:
    return core.forward_lens(load(model_name), prompt, target, top_k=top_k)


@st.cache_data(max_entries=TABLES, show_spinner="Reading the gradient in words …", show_time=True)
def _backward_lens(
    model_name: str, prompt: str, target: str, matrix: str, normalize: bool
) -> pd.DataFrame:
    return core.backward_lens(_trace(model_name, prompt, target), matrix, normalize=normalize)


@st.cache_data(
    max_entries=TABLES, show_spinner="Running every beginning of the prompt …", show_time=True
)
def _rank_curve(model_name: str, prompt: str, target: str) -> pd.DataFrame:
    return core.rank_curve(load(model_name), prompt, target)
