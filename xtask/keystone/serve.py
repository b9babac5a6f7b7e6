"""Serves Keystone on 127.0.0.1, until it is ended.

KEYSTONE_PORT says where: arguments are Keystone's own. OS_KEYSTONE_CONFIG_FILES and OS_KEYSTONE_CONFIG_DIR say how
it is configured.
"""
import os
import socketserver
from wsgiref import simple_server

from keystone.wsgi.api import application


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


class Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


port = int(os.environ["KEYSTONE_PORT"])
simple_server.make_server("127.0.0.1", port, application, Server, Quiet).serve_forever()
