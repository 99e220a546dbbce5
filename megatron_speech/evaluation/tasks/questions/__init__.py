"""Questions of data sets, written and spoken, which the model answers in its own words, in text or in speech.

`items` holds a question as the model reads it, `ways` how it is asked, `answers` how an answer is read, `scores` when
it is right, and `task` the task of all of them. The page of evaluation has the layouts and the settings.
"""
