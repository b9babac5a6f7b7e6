//! What there is, as Keystone shows it.

use serde_json::{Value, json};

use super::User;
use super::directory::{DOMAIN_ID, DOMAIN_NAME, Directory, Grant, Named, Place};
use super::http::{Keystone, Refusal};
use crate::local::REGION;
use crate::local::list::filtered;

impl Keystone<'_> {
    pub(super) fn show(&self, path: &[&str]) -> Result<Value, Refusal> {
        let caller = self.caller()?;
        let directory = &caller.directory;
        let catalog = &self.identity.catalog;
        let admin = || if caller.is_admin() { Ok(()) } else { Err(Refusal::forbidden()) };
        let own = |id: &str| if caller.user.id == id { Ok(()) } else { admin() };
        match path {
            ["auth", "catalog"] => Ok(json!({
                "catalog": catalog.of_token(&self.base()), "links": {"self": format!("{}/v3/auth/catalog", self.root())},
            })),
            ["auth", "projects"] => {
                Ok(self.list("projects", self.projects(directory.projects_of(&caller.user.id))))
            }
            ["auth", "domains"] => {
                let held = directory.has_role_in(&caller.user.id, &Place::Domain);
                Ok(self.list("domains", if held { self.domains() } else { vec![] }))
            }
            ["auth", "system"] => {
                let held = directory.has_role_in(&caller.user.id, &Place::System);
                Ok(self.list("system", if held { vec![json!({"all": true})] } else { vec![] }))
            }
            ["users", user, "projects"] => {
                own(user)?;
                let user = directory.user(user).ok_or_else(|| Refusal::not_found("user"))?;
                Ok(self.list("projects", self.projects(directory.projects_of(&user.named.id))))
            }
            ["users", user, "groups"] => {
                own(user)?;
                Ok(self.list("groups", vec![]))
            }
            // Keystone refuses these two lists to all but administrators; clients look their own names up with them.
            ["projects"] => {
                let own = directory.projects_of(&caller.user.id);
                let seen = if caller.is_admin() { directory.projects.iter().collect() } else { own };
                Ok(self.list("projects", self.projects(seen)))
            }
            ["projects", id] => {
                let mine = directory.projects_of(&caller.user.id).iter().any(|project| project.id == *id);
                if !mine {
                    admin()?;
                }
                self.one("project", id, self.projects(directory.projects.iter().collect()))
            }
            ["users"] => {
                let seen =
                    directory.users.iter().filter(|user| caller.is_admin() || user.named == caller.user);
                Ok(self.list("users", self.users(seen)))
            }
            ["users", id] => {
                own(id)?;
                self.one("user", id, self.users(directory.users.iter()))
            }
            ["domains"] => Ok(self.list("domains", self.domains())),
            ["domains", id] => self.one("domain", id, self.domains()),
            ["groups"] => {
                admin()?;
                Ok(self.list("groups", vec![]))
            }
            ["roles"] => Ok(self.list("roles", self.roles(directory.roles.iter()))),
            ["roles", id] => self.one("role", id, self.roles(directory.roles.iter())),
            ["projects", _, "users", user, "roles"]
            | ["domains", _, "users", user, "roles"]
            | ["system", "users", user, "roles"] => {
                own(user)?;
                let place = place(path).ok_or_else(|| Refusal::not_found("domain"))?;
                let there = match &place {
                    Place::Project(id) => directory.project(id).is_some(),
                    Place::Domain | Place::System => true,
                };
                if !there || directory.user(user).is_none() {
                    return Err(Refusal::not_found("project or user"));
                }
                Ok(self.list("roles", self.roles(directory.granted(user, &place))))
            }
            ["role_assignments"] => {
                admin()?;
                Ok(self.list("role_assignments", self.role_assignments(directory)))
            }
            ["services"] => {
                admin()?;
                Ok(self.list("services", catalog.services(&self.base())))
            }
            ["services", id] => {
                admin()?;
                self.one("service", id, catalog.services(&self.base()))
            }
            ["endpoints"] => {
                admin()?;
                Ok(self.list("endpoints", catalog.endpoints(&self.base())))
            }
            ["endpoints", id] => {
                admin()?;
                self.one("endpoint", id, catalog.endpoints(&self.base()))
            }
            ["regions"] => Ok(self.list("regions", self.regions())),
            ["regions", id] => self.one("region", id, self.regions()),
            _ => Err(Refusal::not_found(&format!("/v3/{}", path.join("/")))),
        }
    }

    fn list(&self, key: &str, documents: Vec<Value>) -> Value {
        let link = format!("{}/{}", self.root(), self.call.path().join("/"));
        json!({
            key: filtered(documents, &self.call.query),
            "links": {"self": link, "previous": null, "next": null},
        })
    }

    fn one(&self, key: &str, id: &str, documents: Vec<Value>) -> Result<Value, Refusal> {
        let found = documents.into_iter().find(|document| document["id"] == id);
        found
            .map(|document| json!({key: document}))
            .ok_or_else(|| Refusal::not_found(&format!("{key}: {id}")))
    }

    fn link(&self, collection: &str, id: &str) -> Value {
        json!({"self": format!("{}/v3/{collection}/{id}", self.root())})
    }

    pub(super) fn projects(&self, projects: Vec<&Named>) -> Vec<Value> {
        let view = |project: &Named| {
            json!({
                "id": project.id, "name": project.name, "domain_id": DOMAIN_ID, "parent_id": DOMAIN_ID,
                "description": project.description, "enabled": project.enabled, "is_domain": false, "tags": [],
                "options": {}, "links": self.link("projects", &project.id),
            })
        };
        projects.into_iter().map(view).collect()
    }

    pub(super) fn users<'u>(&self, users: impl Iterator<Item = &'u User>) -> Vec<Value> {
        let view = |user: &User| {
            let named = &user.named;
            let mut document = json!({
                "id": named.id, "name": named.name, "domain_id": DOMAIN_ID, "enabled": named.enabled,
                "description": named.description, "password_expires_at": null, "options": {},
                "links": self.link("users", &named.id),
            });
            // Keystone leaves out what was never said.
            for (name, value) in [("email", &user.email), ("default_project_id", &user.default_project_id)] {
                if let Some(value) = value {
                    document[name] = json!(value);
                }
            }
            document
        };
        users.map(view).collect()
    }

    fn domains(&self) -> Vec<Value> {
        vec![json!({
            "id": DOMAIN_ID, "name": DOMAIN_NAME, "description": "", "enabled": true, "tags": [], "options": {},
            "links": self.link("domains", DOMAIN_ID),
        })]
    }

    pub(super) fn roles<'r>(&self, roles: impl Iterator<Item = &'r Named>) -> Vec<Value> {
        let view = |role: &Named| {
            let description = (!role.description.is_empty()).then_some(&role.description);
            json!({
                "id": role.id, "name": role.name, "domain_id": null, "description": description, "options": {},
                "links": self.link("roles", &role.id),
            })
        };
        roles.map(view).collect()
    }

    fn regions(&self) -> Vec<Value> {
        vec![json!({
            "id": REGION, "description": "", "parent_region_id": null, "links": self.link("regions", REGION),
        })]
    }

    fn role_assignments(&self, directory: &Directory) -> Vec<Value> {
        let query = &self.call.query;
        let wanted = |name: &str, id: &str| query.first(name).is_none_or(|wanted| wanted == id);
        let domain = json!({"id": DOMAIN_ID, "name": DOMAIN_NAME});
        let names = query.has("include_names");
        let view = |named: &Named, in_domain: bool| match (names, in_domain) {
            (false, _) => json!({"id": named.id}),
            (true, false) => json!({"id": named.id, "name": named.name}),
            (true, true) => json!({"id": named.id, "name": named.name, "domain": domain}),
        };
        let place_wanted = |place: &Place| match place {
            Place::Project(id) => {
                wanted("scope.project.id", id) && !query.has("scope.system") && !query.has("scope.domain.id")
            }
            Place::Domain => {
                wanted("scope.domain.id", DOMAIN_ID)
                    && !query.has("scope.system")
                    && !query.has("scope.project.id")
            }
            Place::System => !query.has("scope.domain.id") && !query.has("scope.project.id"),
        };
        let assignment = |grant: &Grant| {
            let user = &directory.user(&grant.user_id)?.named;
            let role = directory.role(&grant.role_id)?;
            let (scope, path) = match &grant.place {
                Place::Project(id) => {
                    (json!({"project": view(directory.project(id)?, true)}), format!("projects/{id}"))
                }
                Place::Domain if names => (json!({"domain": domain}), format!("domains/{DOMAIN_ID}")),
                Place::Domain => (json!({"domain": {"id": DOMAIN_ID}}), format!("domains/{DOMAIN_ID}")),
                Place::System => (json!({"system": {"all": true}}), "system".to_owned()),
            };
            let link = format!("{}/v3/{path}/users/{}/roles/{}", self.root(), user.id, role.id);
            Some(json!({
                "role": view(role, false), "user": view(user, true), "scope": scope, "links": {"assignment": link},
            }))
        };
        // Nothing is granted to a group.
        let to_groups = query.has("group.id");
        directory
            .grants
            .iter()
            .filter(|grant| {
                !to_groups
                    && wanted("user.id", &grant.user_id)
                    && wanted("role.id", &grant.role_id)
                    && place_wanted(&grant.place)
            })
            .filter_map(assignment)
            .collect()
    }
}

/// The place that the path of a grant begins with; `None` = a domain that is not ours.
pub(super) fn place(path: &[&str]) -> Option<Place> {
    match path {
        ["projects", id, ..] => Some(Place::Project((*id).to_owned())),
        ["domains", id, ..] => (*id == DOMAIN_ID).then_some(Place::Domain),
        _ => Some(Place::System),
    }
}
