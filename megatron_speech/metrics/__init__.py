"""Measures: word error rate, bootstrap intervals, DNSMOS."""
