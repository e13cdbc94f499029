"""`python -m aegis verify`: what the engine promises, measured on this machine, line by line.

`lines` judges, `facts` is what it judges by, `execution` brings both together; everything else measures.
"""
