//! Who and what there is: a domain, two users, two projects and roles that are always there, and what was made beside
//! them; and who may do what where.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::local::seed::Seed;

/// Each has a project of the same name.
pub(in crate::local) const USERS: &[&str] = &["admin", "demo"];

pub(super) const DOMAIN_ID: &str = "default";
pub(super) const DOMAIN_NAME: &str = "Default";

/// Of each kind of thing: a laptop's cloud does not fill its disk.
const COUNT_MAX: usize = 10_000;
/// Of the name of a project, in characters, as Keystone has it.
const PROJECT_NAME_MAX: usize = 64;
/// Of other names, in characters.
const NAME_MAX: usize = 255;
/// Of a description or an address, in characters.
const TEXT_MAX: usize = 255;

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

/// User, project, role. The administrator may act in both projects, in the domain and on the system.
const GRANTS: &[(&str, &str, &str)] = &[
    ("admin", "admin", "admin"),
    ("admin", "demo", "admin"),
    ("demo", "demo", "member"),
    ("demo", "demo", "load-balancer_member"),
];

/// Something with a name of its own and an id of 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) enabled: bool,
    /// Always there: neither changed nor removed.
    #[serde(skip)]
    pub(super) fixed: bool,
}

impl Named {
    pub(super) fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), description: String::new(), enabled: true, fixed: false }
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    #[serde(flatten)]
    pub(super) named: Named,
    pub(super) email: Option<String>,
    pub(super) default_project_id: Option<String>,
    /// Of the password; nobody logs in without one.
    pub(super) hash: Option<String>,
    /// Of tokens: a new password, or being disabled, ends all of the series and begins the next.
    #[serde(default)]
    pub(super) series: u64,
}

impl std::fmt::Debug for User {
    /// Without the hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("named", &self.named).finish_non_exhaustive()
    }
}

/// Where a role is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    Project(String),
    /// The one domain.
    Domain,
    System,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) user_id: String,
    pub(super) place: Place,
    pub(super) role_id: String,
    #[serde(skip)]
    fixed: bool,
}

impl Grant {
    pub(super) fn new(user_id: &str, place: Place, role_id: &str) -> Self {
        Self { user_id: user_id.into(), place, role_id: role_id.into(), fixed: false }
    }

    fn same(&self, other: &Self) -> bool {
        (&self.user_id, &self.place, &self.role_id) == (&other.user_id, &other.place, &other.role_id)
    }
}

/// Why a change is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("Could not find {0}: {1}.")]
    NotFound(&'static str, String),
    #[error("There is a {0} with the name {1} already.")]
    Taken(&'static str, String),
    #[error("The {0} {1} is always there in this cloud: it can be neither changed nor removed.")]
    Fixed(&'static str, String),
    #[error("{0}")]
    Invalid(String),
    #[error("There are {COUNT_MAX} of a kind already: remove some first.")]
    Full,
}

#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) users: Vec<User>,
    pub(super) projects: Vec<Named>,
    pub(super) roles: Vec<Named>,
    pub(super) grants: Vec<Grant>,
}

impl Directory {
    /// What is always there; `hash` tells that of a user's password.
    pub(super) fn new(seed: &Seed, hash: impl Fn(&str) -> Option<String>) -> Self {
        let fixed = |kind: &str, name: &str| Named {
            fixed: true,
            ..Named::new(seed.hex_id(&format!("{kind}/{name}")), name)
        };
        let id = |kind: &str, name: &str| fixed(kind, name).id;
        let user = |name: &&str| User {
            named: fixed("user", name),
            email: None,
            default_project_id: None,
            hash: hash(name),
            series: 0,
        };
        let grant = |user: &str, place: Place, role: &str| Grant {
            fixed: true,
            ..Grant::new(&id("user", user), place, &id("role", role))
        };
        let in_projects = GRANTS
            .iter()
            .map(|(user, project, role)| grant(user, Place::Project(id("project", project)), role));
        let elsewhere = [Place::Domain, Place::System].map(|place| grant("admin", place, "admin"));
        Self {
            users: USERS.iter().map(user).collect(),
            projects: USERS.iter().map(|name| fixed("project", name)).collect(),
            roles: ROLES.iter().map(|name| fixed("role", name)).collect(),
            grants: in_projects.chain(elsewhere).collect(),
        }
    }

    pub(super) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.named.id == id)
    }

    pub(super) fn project(&self, id: &str) -> Option<&Named> {
        self.projects.iter().find(|project| project.id == id)
    }

    pub(super) fn role(&self, id: &str) -> Option<&Named> {
        self.roles.iter().find(|role| role.id == id)
    }

    /// The roles granted to a user in one place: without what comes with them.
    pub(super) fn granted<'a>(
        &'a self,
        user_id: &'a str,
        place: &'a Place,
    ) -> impl Iterator<Item = &'a Named> {
        self.grants
            .iter()
            .filter(move |grant| grant.user_id == user_id && grant.place == *place)
            .filter_map(|grant| self.role(&grant.role_id))
    }

    /// The roles a user has in one place, those that come with others included.
    pub(super) fn roles_of(&self, user_id: &str, place: &Place) -> Vec<&Named> {
        let mut held: BTreeSet<&str> = self.granted(user_id, place).map(|role| role.name.as_str()).collect();
        for (role, implied) in IMPLIED {
            if held.contains(role) {
                held.insert(implied);
            }
        }
        self.roles.iter().filter(|role| held.contains(role.name.as_str())).collect()
    }

    /// The projects in which a user has a role.
    pub(super) fn projects_of(&self, user_id: &str) -> Vec<&Named> {
        let places: BTreeSet<&str> = self
            .grants
            .iter()
            .filter(|grant| grant.user_id == user_id)
            .filter_map(|grant| match &grant.place {
                Place::Project(id) => Some(id.as_str()),
                Place::Domain | Place::System => None,
            })
            .collect();
        self.projects.iter().filter(|project| places.contains(project.id.as_str())).collect()
    }

    pub(super) fn has_role_in(&self, user_id: &str, place: &Place) -> bool {
        self.grants.iter().any(|grant| grant.user_id == user_id && grant.place == *place)
    }

    // ---- changes

    pub(super) fn user_put(&mut self, mut user: User) -> Result<(), Refused> {
        check(&user.named, NAME_MAX)?;
        for text in [&user.email, &user.default_project_id].into_iter().flatten() {
            text_check(text)?;
        }
        if self
            .users
            .iter()
            .any(|known| known.named.id != user.named.id && known.named.name == user.named.name)
        {
            return Err(Refused::Taken("user", user.named.name));
        }
        match self.users.iter_mut().find(|known| known.named.id == user.named.id) {
            Some(known) if known.named.fixed => Err(Refused::Fixed("user", known.named.name.clone())),
            Some(known) => {
                let over = user.hash != known.hash || (known.named.enabled && !user.named.enabled);
                user.series = known.series + u64::from(over);
                *known = user;
                Ok(())
            }
            None => push(&mut self.users, user),
        }
    }

    pub(super) fn user_remove(&mut self, id: &str) -> Result<(), Refused> {
        removable("user", self.user(id).map(|user| &user.named), id)?;
        self.users.retain(|user| user.named.id != id);
        self.grants.retain(|grant| grant.user_id != id);
        Ok(())
    }

    pub(super) fn project_put(&mut self, project: Named) -> Result<(), Refused> {
        named_put(&mut self.projects, "project", project)
    }

    pub(super) fn project_remove(&mut self, id: &str) -> Result<(), Refused> {
        removable("project", self.project(id), id)?;
        self.projects.retain(|project| project.id != id);
        self.grants.retain(|grant| grant.place != Place::Project(id.to_owned()));
        Ok(())
    }

    pub(super) fn role_put(&mut self, role: Named) -> Result<(), Refused> {
        named_put(&mut self.roles, "role", role)
    }

    pub(super) fn role_remove(&mut self, id: &str) -> Result<(), Refused> {
        removable("role", self.role(id), id)?;
        self.roles.retain(|role| role.id != id);
        self.grants.retain(|grant| grant.role_id != id);
        Ok(())
    }

    /// A grant that is there already is fine.
    pub(super) fn grant_put(&mut self, grant: Grant) -> Result<(), Refused> {
        self.grant_check(&grant)?;
        if self.grants.iter().any(|known| known.same(&grant)) {
            return Ok(());
        }
        push(&mut self.grants, grant)
    }

    pub(super) fn grant_remove(&mut self, grant: &Grant) -> Result<(), Refused> {
        self.grant_check(grant)?;
        match self.grants.iter().find(|known| known.same(grant)) {
            None => Err(Refused::NotFound("role assignment with role", grant.role_id.clone())),
            Some(known) if known.fixed => {
                Err(Refused::Fixed("role assignment with role", grant.role_id.clone()))
            }
            Some(_) => {
                self.grants.retain(|known| !known.same(grant));
                Ok(())
            }
        }
    }

    pub(super) fn grant_is(&self, grant: &Grant) -> bool {
        self.grants.iter().any(|known| known.same(grant))
    }

    /// Whether what a grant names is there.
    pub(super) fn grant_check(&self, grant: &Grant) -> Result<(), Refused> {
        let missing = |what, id: &str| Err(Refused::NotFound(what, id.to_owned()));
        if self.user(&grant.user_id).is_none() {
            return missing("user", &grant.user_id);
        }
        if let Place::Project(id) = &grant.place
            && self.project(id).is_none()
        {
            return missing("project", id);
        }
        if self.role(&grant.role_id).is_none() {
            return missing("role", &grant.role_id);
        }
        Ok(())
    }

    // ---- what is kept

    /// What was made: all that a new seed would not bring.
    pub(super) fn made(&self) -> Made {
        Made {
            users: self.users.iter().filter(|user| !user.named.fixed).cloned().collect(),
            projects: self.projects.iter().filter(|named| !named.fixed).cloned().collect(),
            roles: self.roles.iter().filter(|named| !named.fixed).cloned().collect(),
            grants: self.grants.iter().filter(|grant| !grant.fixed).cloned().collect(),
        }
    }

    pub(super) fn add(&mut self, made: Made) {
        self.users.extend(made.users);
        self.projects.extend(made.projects);
        self.roles.extend(made.roles);
        self.grants.extend(made.grants);
    }
}

/// What is kept in a file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Made {
    users: Vec<User>,
    projects: Vec<Named>,
    roles: Vec<Named>,
    grants: Vec<Grant>,
}

fn named_put(all: &mut Vec<Named>, kind: &'static str, named: Named) -> Result<(), Refused> {
    check(&named, if kind == "project" { PROJECT_NAME_MAX } else { NAME_MAX })?;
    if all.iter().any(|known| known.id != named.id && known.name == named.name) {
        return Err(Refused::Taken(kind, named.name));
    }
    match all.iter_mut().find(|known| known.id == named.id) {
        Some(known) if known.fixed => Err(Refused::Fixed(kind, known.name.clone())),
        Some(known) => {
            *known = named;
            Ok(())
        }
        None => push(all, named),
    }
}

fn push<T>(all: &mut Vec<T>, one: T) -> Result<(), Refused> {
    if all.len() >= COUNT_MAX {
        return Err(Refused::Full);
    }
    all.push(one);
    Ok(())
}

fn removable(kind: &'static str, known: Option<&Named>, id: &str) -> Result<(), Refused> {
    match known {
        None => Err(Refused::NotFound(kind, id.to_owned())),
        Some(known) if known.fixed => Err(Refused::Fixed(kind, known.name.clone())),
        Some(_) => Ok(()),
    }
}

fn check(named: &Named, most: usize) -> Result<(), Refused> {
    let length = named.name.chars().count();
    if named.name.trim().is_empty() || length > most {
        return Err(Refused::Invalid(format!("A name has 1 to {most} characters.")));
    }
    text_check(&named.description)
}

fn text_check(text: &str) -> Result<(), Refused> {
    if text.chars().count() > TEXT_MAX {
        return Err(Refused::Invalid(format!("A text has at most {TEXT_MAX} characters.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        Directory::new(&Seed::new("x"), |_| None)
    }

    #[test]
    fn roles_bring_others() {
        let directory = directory();
        let [admin, demo] = [0, 1].map(|at| directory.users[at].named.id.clone());
        let [of_admin, of_demo] = [0, 1].map(|at| Place::Project(directory.projects[at].id.clone()));
        let names = |user: &str, place: &Place| {
            let roles = directory.roles_of(user, place);
            roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&admin, &of_admin), "admin manager member reader");
        assert_eq!(names(&admin, &of_demo), "admin manager member reader");
        assert_eq!(names(&admin, &Place::System), "admin manager member reader");
        assert_eq!(names(&admin, &Place::Domain), "admin manager member reader");
        assert_eq!(names(&demo, &of_admin), "");
        assert_eq!(names(&demo, &of_demo), "member reader load-balancer_member");
        assert_eq!(names(&demo, &Place::System), "");
        assert!(admin.len() == 32 && admin != directory.projects[0].id);
    }

    #[test]
    fn what_is_always_there_stays() {
        let mut directory = directory();
        let user = directory.users[1].clone();
        let project = directory.projects[1].clone();
        let role = directory.roles[2].clone();
        let grant = directory.grants[2].clone();
        assert!(matches!(directory.user_put(user.clone()), Err(Refused::Fixed(..))));
        assert!(matches!(directory.user_remove(&user.named.id), Err(Refused::Fixed(..))));
        assert!(matches!(directory.project_put(project.clone()), Err(Refused::Fixed(..))));
        assert!(matches!(directory.project_remove(&project.id), Err(Refused::Fixed(..))));
        assert!(matches!(directory.role_put(role.clone()), Err(Refused::Fixed(..))));
        assert!(matches!(directory.role_remove(&role.id), Err(Refused::Fixed(..))));
        assert!(matches!(directory.grant_remove(&grant), Err(Refused::Fixed(..))));
        let [users, projects, roles, grants] =
            [directory.users.len(), directory.projects.len(), directory.roles.len(), directory.grants.len()];
        assert_eq!((users, projects, roles, grants), (2, 2, ROLES.len(), GRANTS.len() + 2));
    }

    #[test]
    fn names_are_said_once_and_have_a_length() {
        let mut directory = directory();
        let long = "ü".repeat(PROJECT_NAME_MAX);
        for (name, taken) in [
            ("new", Ok(())),
            ("new", Err(Refused::Taken("project", "new".into()))),
            ("demo", Err(Refused::Taken("project", "demo".into()))),
            (long.as_str(), Ok(())),
            ("", Err(Refused::Invalid("A name has 1 to 64 characters.".into()))),
            (" ", Err(Refused::Invalid("A name has 1 to 64 characters.".into()))),
            (&format!("{long}x"), Err(Refused::Invalid("A name has 1 to 64 characters.".into()))),
        ] {
            let id = directory.projects.len().to_string();
            assert_eq!(directory.project_put(Named::new(id, name)), taken, "{name}");
        }
    }

    #[test]
    fn with_a_thing_go_its_grants() {
        let mut directory = directory();
        let user = User {
            named: Named::new("u", "u"),
            email: None,
            default_project_id: None,
            hash: None,
            series: 0,
        };
        directory.user_put(user).unwrap();
        directory.project_put(Named::new("p", "p")).unwrap();
        directory.role_put(Named::new("r", "r")).unwrap();
        let grant = || Grant::new("u", Place::Project("p".into()), "r");
        let always = directory.grants.len();
        for kind in ["user", "project", "role"] {
            let mut directory = directory.clone();
            directory.grant_put(grant()).unwrap();
            directory.grant_put(grant()).unwrap();
            assert_eq!(directory.grants.len(), always + 1);
            assert_eq!(directory.projects_of("u").len(), 1);
            let removed = match kind {
                "user" => directory.user_remove("u"),
                "project" => directory.project_remove("p"),
                _ => directory.role_remove("r"),
            };
            assert_eq!(removed, Ok(()));
            assert_eq!(directory.grants.len(), always);
            assert!(matches!(directory.grant_put(grant()), Err(Refused::NotFound(..))));
        }
    }

    #[test]
    fn what_was_made_is_found_again() {
        let mut directory = directory();
        let user = User {
            named: Named::new("u", "u"),
            email: None,
            default_project_id: None,
            hash: Some("h".into()),
            series: 7,
        };
        directory.user_put(user).unwrap();
        let role = directory.roles[0].id.clone();
        for place in [Place::System, Place::Domain, Place::Project(directory.projects[0].id.clone())] {
            directory.grant_put(Grant::new("u", place, &role)).unwrap();
        }
        let text = serde_json::to_string(&directory.made()).unwrap();
        let mut again = self::directory();
        again.add(serde_json::from_str(&text).unwrap());
        assert_eq!((again.users, again.grants), (directory.users, directory.grants));
    }
}
