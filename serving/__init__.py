"""The REST service: the same engine for callers that wait for the answer.

An event is published first and then assessed: the job finds it a duplicate, and writes its row and its alert. So the
service needs no outputs, and its answers are as safe as the work of the job (decisions/0010).
"""
