"""The REST service: the same engine for a caller that waits for the answer.

An event is published first and then assessed: the job finds it a duplicate, and writes its row and its alert. So the
service has no ways out of its own, and what it has answered is as safe as what the job has done (decisions/0010).
"""
