"""Learning to look: rollouts, objectives, the REINFORCE trainer, evaluation and the command."""
