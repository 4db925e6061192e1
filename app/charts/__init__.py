"""A DataFrame in, a chart out; no Streamlit inside.

Imports words, titles and core alone; the notebook and cells import it.
"""
