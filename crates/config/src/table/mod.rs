//! The table of options. Everything that is said of an option anywhere is said here.
//!
//! Names, types, defaults and bounds are the original's; where a value that the original would take makes no sense
//! (a heartbeat every 0 seconds), bounds are ours.

/// Makes of each row a constant by which code asks for the value, and the row of the table.
macro_rules! options {
    ($(
        $(#[doc = $about:literal])+
        $group:ident $($open:ident)? {
            $( $(#[doc = $help:literal])+ $name:ident: $type:ty = $row:expr; )+
        }
    )+) => {
        #[allow(unused_imports, reason = "not every group has every type of option")]
        use std::net::IpAddr;

        #[allow(unused_imports, reason = "not every group has every type of option")]
        use crate::{kind::Item, spec::{Group, Opt, row}, table::reason::*, value::Limit};

        $(
            $(#[doc = $about])+
            #[allow(non_snake_case, reason = "named as in the file")]
            pub mod $group {
                use super::*;

                $(
                    $(#[doc = $help])+
                    #[allow(non_upper_case_globals, reason = "named as in the file")]
                    pub const $name: Opt<$type> =
                        $row.named(stringify!($group), stringify!($name), concat!($($help),+).trim_ascii());
                )+

                pub(in crate::table) const GROUP: Group = Group {
                    name: stringify!($group),
                    about: concat!($($about),+).trim_ascii(),
                    open: options!(@open $($open)?),
                    options: &[$($name.spec),+],
                };
            }
        )+

        pub(super) const GROUPS: &[Group] = &[$($group::GROUP),+];
    };
    (@open open) => { true };
    (@open) => { false };
}

mod amphora;
mod api;
mod cloud;
mod controller;
mod library;

use crate::spec::Group;

/// Each option under its group and name, typed.
pub mod option {
    pub use super::amphora::{
        access_log, amphora_agent, haproxy_amphora, keepalived_vrrp, ocsp_stapling, sorry_page,
    };
    pub use super::api::{DEFAULT, api_settings, audit, metrics, networking, quotas};
    pub use super::cloud::{certificates, cinder, compute, glance, neutron, nova, service_auth};
    pub use super::controller::{controller_worker, driver_agent, health_manager, house_keeping, task_flow};
    pub use super::library::{
        audit_middleware_notifications, cors, database, healthcheck, keystone_authtoken, oslo_concurrency,
        oslo_messaging, oslo_messaging_notifications, oslo_messaging_rabbit, oslo_middleware, oslo_policy,
    };
}

/// Every group, in the order of the sample file and of the reference page.
pub fn groups() -> impl Iterator<Item = &'static Group> {
    [api::GROUPS, controller::GROUPS, amphora::GROUPS, cloud::GROUPS, library::GROUPS].into_iter().flatten()
}

/// Sections that libraries of the original read, and of which nothing is in the table.
pub(crate) const LIBRARY_SECTIONS: &[&str] = &[
    "oslo_limit",
    "oslo_messaging_kafka",
    "oslo_messaging_metrics",
    "oslo_middleware_tracing",
    "oslo_reports",
    "oslo_versionedobjects",
    "profiler",
    "ssl",
];

/// Groups of which files may have more sections, `[group.NAME]`, with the same options; where such a section says nothing,
/// what the group's own says holds.
pub(crate) const WITH_SUBSECTIONS: &[&str] = &["cors"];

/// Why options of the original can have no effect.
mod reason {
    pub(super) const BACKOFF: &str =
        "what fails is tried again with backoff until it works; the API shows ERROR and why meanwhile";
    pub(super) const COMMITTED: &str = "the worker sees what is committed, and nothing else";
    pub(super) const LOG_FILE: &str =
        "lines of the access log are kept on the amphora where [access_log] file says so, and nowhere else";
    pub(super) const NEXT_TARGET: &str =
        "while a log host fails, the next one gets its lines, however long that takes";
    pub(super) const NO_CHECK_SCRIPT: &str = "no script checks: an agent knows at once whether its proxy serves, and leaves the VIPs to the other if not";
    pub(super) const NO_FLOWS: &str = "there are no flows and no job board: load balancers are reconciled";
    pub(super) const NO_HAPROXY: &str = "amphorae run no HAProxy";
    pub(super) const LOOKED_AT: &str =
        "certificates are looked at whenever a load balancer is, every few seconds";
    pub(super) const NO_LOCKS: &str = "there are no lock files";
    pub(super) const NO_MEMCACHED: &str = "no memcached is used";
    pub(super) const NO_PLUGINS: &str = "there are no provider drivers in other processes";
    pub(super) const NO_PYTHON: &str = "it is about the original's Python libraries";
    pub(super) const NO_QUEUE: &str = "no messages go between controllers: work is found in the database";
    pub(super) const ONE_PROCESS: &str = "work is done by tasks of one process";
    pub(super) const ONE_WAY: &str =
        "Barbican is always asked in this way: by the access control lists of the secrets";
    pub(super) const OWN_AGENT: &str = "the agent is a part of this program";
    pub(super) const OWN_TABLES: &str =
        "a table has room for 16,384 clients, and forgets whom it saw longest ago";
    pub(super) const OWN_DATABASE: &str = "it is about the original's database library";
    pub(super) const OWN_QUEUE: &str = "a mebibyte of lines waits in each thread that carries traffic, and one more between it and each target";
    pub(super) const OWN_MAP: &str = "the table of endpoints says what is recorded, and as what";
    pub(super) const OWN_LOG: &str = "the log has a format of its own; --log chooses levels";
    pub(super) const STDERR: &str = "the log goes to standard error, for systemd or a container to keep";
    pub(super) const UNUSED: &str = "the original does not use it either";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::spec::{Applies, Spec};

    fn all() -> impl Iterator<Item = &'static Spec> {
        groups().flat_map(|group| group.options)
    }

    #[test]
    fn names_are_unique() {
        let mut names = BTreeSet::new();
        for spec in all() {
            let former = spec.former.iter().copied();
            for name in former.chain([(spec.group, spec.name)]) {
                assert!(names.insert(name), "{name:?}");
            }
        }
        let groups: Vec<_> = groups().map(|group| group.name).collect();
        assert_eq!(groups.iter().collect::<BTreeSet<_>>().len(), groups.len());
    }

    #[test]
    fn defaults_are_values() {
        for spec in all() {
            for default in [spec.default, spec.all_in_one].into_iter().flatten() {
                assert!(spec.kind.read(default).is_some(), "{spec:?}");
                // Defaults are not interpolated.
                assert!(!default.contains('$'), "{spec:?}");
            }
        }
    }

    #[test]
    fn help_is_a_sentence() {
        for spec in all() {
            let begins = spec.help.starts_with(|c: char| !c.is_lowercase());
            assert!(
                begins && spec.help.ends_with('.') && !spec.help.contains('|'),
                "{}: {}",
                spec.name,
                spec.help
            );
        }
        for group in groups() {
            assert!(group.about.ends_with('.'), "{}", group.about);
        }
    }

    #[test]
    fn another_default_is_for_what_applies() {
        for spec in all().filter(|spec| spec.all_in_one.is_some()) {
            assert_eq!(spec.applies, Applies::Yes, "{spec:?}");
        }
    }
}
