"""The sentence above a picture: what it says for this prompt, with the sign right.

A file for each subject. Tables come from core; text of users and models goes through code_span.
Imports words, titles and core alone.
"""
