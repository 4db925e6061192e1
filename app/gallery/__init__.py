"""Stored findings: what a finding's file may say, and the numbers that were computed for it.

Imports words, titles, settings and the shell; cells alone import it. No model is loaded here.
"""
