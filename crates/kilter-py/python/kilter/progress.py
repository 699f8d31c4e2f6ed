"""How far `Study.optimize` is: a line on a terminal, HTML in a notebook."""

import sys
import threading
import time

__all__ = ["Progress"]

#: How often it is drawn, in seconds; where it cannot be drawn over, a line every few seconds.
EVERY, EVERY_LINE = 0.2, 5.0


def _notebook():
    """IPython's display function, if this runs in a notebook."""
    shell = sys.modules.get("IPython")
    shell = shell and shell.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import HTML, display

    return lambda html, handle: (handle.update(HTML(html)), handle)[1] if handle else display(HTML(html), display_id=True)


class Progress:
    """Draws progress."""

    def __init__(self, study, n_trials, timeout, stream=None):
        self.n_trials, self.timeout = n_trials, timeout
        self.began = time.monotonic()
        self.ended = 0
        self.drawn = None
        self.stream = stream or sys.stderr
        self.display = _notebook()
        self.handle = None
        self.lock = threading.Lock()

    def tick(self, study):
        """A trial has ended."""
        with self.lock:
            self.ended += 1
            now = time.monotonic()
            every = EVERY if self.display or self.stream.isatty() else EVERY_LINE
            if self.drawn is None or now - self.drawn >= every:
                self.drawn = now
                self.draw(study, now)

    def close(self, study):
        """Draws the last."""
        with self.lock:
            self.draw(study, time.monotonic())
            if not self.display and self.stream.isatty():
                print(file=self.stream)

    def share(self, now):
        """How far it is, from 0 to 1, if that can be said."""
        shares = []
        if self.n_trials:
            shares.append(self.ended / self.n_trials)
        if self.timeout:
            shares.append((now - self.began) / self.timeout)
        return min(1.0, max(shares)) if shares else None

    def text(self, study, now):
        """The line."""
        of = f"/{self.n_trials}" if self.n_trials is not None else ""
        said = [f"{self.ended}{of} trials"]
        if len(study.directions) == 1:
            best = study.best_trials
            if best:
                said.append(f"best {best[0].value:.6g} (trial {best[0].number})")
        share, passed = self.share(now), now - self.began
        said.append(_seconds(passed))
        if share and share < 1.0:
            said.append(f"{_seconds(passed / share - passed)} left")
        return ", ".join(said)

    def draw(self, study, now):
        text = self.text(study, now)
        if self.display:
            from html import escape

            share = self.share(now)
            bar = "" if share is None else f'<progress value="{share:.4f}" max="1"></progress> '
            self.handle = self.display(f"<div>{bar}{escape(study.name)}: {escape(text)}</div>", self.handle)
        elif self.stream.isatty():
            print(f"\r\x1b[2K{text}", end="", file=self.stream, flush=True)
        else:
            print(text, file=self.stream, flush=True)


def _seconds(seconds):
    seconds = round(seconds)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
