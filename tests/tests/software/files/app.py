"""A WSGI application that takes as long as it is asked to: /slow/<milliseconds>."""

import time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/slow/"):
        time.sleep(int(path.split("/")[2]) / 1000)
    body = b"the end\n"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
