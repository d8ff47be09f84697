"""Can a model's training pairs be told from those of strangers, and can their answers be drawn out of it?"""
