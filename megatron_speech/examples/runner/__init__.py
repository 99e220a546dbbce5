"""Runs steps one after the other, and keeps their logs and times."""
