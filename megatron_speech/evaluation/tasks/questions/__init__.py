"""Questions of data sets, written and spoken, which the model answers in its own words, in text or in speech.

`items` holds a question as the model reads it, and `ways` how it is asked. `answers` tells how an answer is read, and
`scores` when it is right. `task` puts them together. The page of evaluation has the layouts and the settings.
"""
