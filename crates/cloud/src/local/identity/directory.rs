//! Who and what there is, for ever the same: a domain, two users, two projects, roles, and what each role brings.

use std::collections::BTreeSet;

use crate::local::seed::Seed;

/// Each has a project of the same name.
pub(in crate::local) const USERS: &[&str] = &["admin", "demo"];

pub(super) const DOMAIN_ID: &str = "default";
pub(super) const DOMAIN_NAME: &str = "Default";

/// Keystone's own, then those of load balancing (`reference/api.md` §8).
const ROLES: &[&str] = &[
    "admin",
    "manager",
    "member",
    "reader",
    "service",
    "load-balancer_observer",
    "load-balancer_global_observer",
    "load-balancer_member",
    "load-balancer_quota_admin",
    "load-balancer_admin",
];

/// Role, what it brings besides itself.
const IMPLIED: &[(&str, &str)] = &[("admin", "manager"), ("manager", "member"), ("member", "reader")];

/// User, project, role. The administrator may act in every project.
const GRANTS: &[(&str, &str, &str)] = &[
    ("admin", "admin", "admin"),
    ("admin", "demo", "admin"),
    ("demo", "demo", "member"),
    ("demo", "demo", "load-balancer_member"),
];

/// Something with a name and an id of 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) name: &'static str,
}

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) users: Vec<Named>,
    pub(super) projects: Vec<Named>,
    pub(super) roles: Vec<Named>,
}

impl Directory {
    pub(super) fn new(seed: &Seed) -> Self {
        let named = |kind: &str, names: &[&'static str]| {
            let id = |name| seed.hex_id(&format!("{kind}/{name}"));
            names.iter().map(|&name| Named { id: id(name), name }).collect()
        };
        Self { users: named("user", USERS), projects: named("project", USERS), roles: named("role", ROLES) }
    }

    pub(super) fn user(&self, id: &str) -> Option<&Named> {
        self.users.iter().find(|user| user.id == id)
    }

    pub(super) fn project(&self, id: &str) -> Option<&Named> {
        self.projects.iter().find(|project| project.id == id)
    }

    /// The roles a user has in a project, those that come with others included.
    pub(super) fn roles_of(&self, user: &Named, project: &Named) -> Vec<&Named> {
        let mut held: BTreeSet<&str> = GRANTS
            .iter()
            .filter(|(u, p, _)| (*u, *p) == (user.name, project.name))
            .map(|(_, _, role)| *role)
            .collect();
        for (role, implied) in IMPLIED {
            if held.contains(role) {
                held.insert(implied);
            }
        }
        self.roles.iter().filter(|role| held.contains(role.name)).collect()
    }

    /// The projects in which a user has a role.
    pub(super) fn projects_of(&self, user: &Named) -> Vec<&Named> {
        self.projects.iter().filter(|project| !self.roles_of(user, project).is_empty()).collect()
    }

    /// User, project, role, as granted: without what comes with it.
    pub(super) fn grants(&self) -> impl Iterator<Item = (&Named, &Named, &Named)> {
        let find = |all: &'static str, list: &'_ [Named]| list.iter().position(|named| named.name == all);
        GRANTS.iter().filter_map(move |&(user, project, role)| {
            Some((
                &self.users[find(user, &self.users)?],
                &self.projects[find(project, &self.projects)?],
                &self.roles[find(role, &self.roles)?],
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_bring_others() {
        let directory = Directory::new(&Seed::new("x"));
        let [admin, demo] = [&directory.users[0], &directory.users[1]];
        let names = |user, project| {
            directory.roles_of(user, project).iter().map(|role| role.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(admin, &directory.projects[0]), "admin manager member reader");
        assert_eq!(names(admin, &directory.projects[1]), "admin manager member reader");
        assert_eq!(names(demo, &directory.projects[0]), "");
        assert_eq!(names(demo, &directory.projects[1]), "member reader load-balancer_member");
        assert_eq!(directory.grants().count(), GRANTS.len());
        assert!(directory.users[0].id.len() == 32 && directory.users[0].id != directory.projects[0].id);
    }
}
