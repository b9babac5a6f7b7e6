"""Users, projects and the catalogue of a new Keystone, for the administrator of the environment (OS_*).

PREPARE is JSON: {"services": {type: url}, "users": {name: [project, role, ...]}}. Each user's password is the
administrator's.
"""
import json
import os

import openstack

wanted = json.loads(os.environ["PREPARE"])
identity = openstack.connect().identity
for kind, url in wanted["services"].items():
    service = identity.create_service(type=kind, name=kind)
    identity.create_endpoint(service_id=service.id, interface="public", url=url, region_id=os.environ["OS_REGION_NAME"])
roles = {role.name: role for role in identity.roles()}
projects = {}
for name, (project, *names) in wanted["users"].items():
    if project not in projects:
        projects[project] = identity.create_project(name=project, domain_id="default")
    user = identity.create_user(name=name, password=os.environ["OS_PASSWORD"], domain_id="default")
    for role in names:
        if role not in roles:
            roles[role] = identity.create_role(name=role)
        identity.assign_project_role_to_user(projects[project], user, roles[role])
