"""Training in several processes: who starts them (`start`), how they work together (`team`), how they fail (`failure`).

However they were started (by Pakar, torchrun, `accelerate launch` or Spark), the processes of a training find each other
through torchrun's environment variables, and a process cannot tell who started it.
"""
