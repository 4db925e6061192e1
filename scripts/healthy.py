"""Whether the server on this machine answers, for the image's health check.

It ends with 0 if so and with 1 if not, after 4 seconds at most; a proxy in the environment does
not come between.
"""

import os
import sys
import urllib.request

PORT = os.environ.get("STREAMLIT_SERVER_PORT", "8501")
PATIENCE = 4.0  # seconds


def healthy() -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{PORT}/_stcore/health", timeout=PATIENCE) as answer:
            return answer.status == 200
    except OSError:  # nobody listens, nobody answers, or an error is the answer
        return False


if __name__ == "__main__":
    sys.exit(not healthy())
