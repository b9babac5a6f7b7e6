"""Serves a service of OpenStack on 127.0.0.1, until it is ended.

SERVE says which: keystone or barbican; SERVE_PORT where. Arguments are the services' own. Keystone finds its configuration
by OS_KEYSTONE_CONFIG_FILES and OS_KEYSTONE_CONFIG_DIR, Barbican in HOME; SERVE_PASTE is Barbican's pipeline.
"""
import os
import socketserver
from wsgiref import simple_server


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


class Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


if os.environ["SERVE"] == "keystone":
    from keystone.wsgi.api import application
else:
    from paste import deploy

    application = deploy.loadapp("config:" + os.environ["SERVE_PASTE"])
port = int(os.environ["SERVE_PORT"])
simple_server.make_server("127.0.0.1", port, application, Server, Quiet).serve_forever()
