"""Types of traffic.pyx."""

class Traffic:
    received: int
    sent: int
    heard_at: float
