//! Policy files: where they are, when they change, and `octavia policy`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use octavia_api::{ENDPOINTS, Policy};
use octavia_policy::{
    Credentials, Decision, Enforcer, MAX_FILE, Options, PREFIX, PolicyFile, Problem, Target, defaults,
};
use tokio::task::JoinHandle;

use crate::args::{PolicyCheck, PolicyCommand};
use crate::config::{self, print};

/// How often files are looked at for changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// `[oslo_policy]`
#[derive(Debug, Clone)]
pub(crate) struct PolicySettings {
    pub(crate) file: String,
    /// Whether the configuration says which file it is.
    pub(crate) file_is_named: bool,
    pub(crate) dirs: Vec<String>,
    /// Where relative names are looked for, first found first taken.
    pub(crate) places: Vec<PathBuf>,
    pub(crate) options: Options,
}

impl PolicySettings {
    /// A name that is relative is that of the first place that has it.
    fn find(&self, name: &str) -> Option<PathBuf> {
        if name.is_empty() {
            return None;
        }
        let path = Path::new(name);
        if path.is_absolute() {
            return path.exists().then(|| path.to_owned());
        }
        self.places.iter().map(|place| place.join(path)).find(|path| path.exists())
    }

    /// The files that are there, in the order in which they count.
    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<_> = self.find(&self.file).into_iter().collect();
        for dir in self.dirs.iter().filter_map(|dir| self.find(dir)) {
            let mut found = vec![];
            for entry in fs::read_dir(&dir)? {
                let path = entry?.path();
                let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                if !hidden && path.is_file() {
                    found.push(path);
                }
            }
            found.sort();
            paths.append(&mut found);
        }
        Ok(paths)
    }
}

/// What tells one state of the files from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(Vec<(PathBuf, Option<Version>)>);

/// Inode, time of the last change in seconds and nanoseconds, bytes.
type Version = (u64, i64, i64, u64);

/// Rules, and what there is to warn of; or what is wrong.
type Rules = Result<(Enforcer, Vec<Problem>), Problem>;

impl Stamp {
    fn of(paths: &[PathBuf]) -> Self {
        let stamp = |path: &PathBuf| {
            let known = fs::metadata(path).ok();
            let known = known.map(|of| (of.ino(), of.mtime(), of.mtime_nsec(), of.size()));
            (path.clone(), known)
        };
        Self(paths.iter().map(stamp).collect())
    }
}

/// The rules of the files as they are now, over those that are built in.
fn load(settings: &PolicySettings) -> (Option<Stamp>, Rules) {
    let paths = match settings.paths() {
        Ok(paths) => paths,
        Err(error) => {
            let what = format!("cannot be read: {error}");
            let file = settings.dirs.join(", ");
            return (None, Err(Problem { file, line: None, rule: None, what }));
        }
    };
    // Before they are read: what is written meanwhile is seen as a change.
    let stamp = Stamp::of(&paths);
    let files = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>();
    let rules = files.and_then(|files| Enforcer::new(defaults(), &files, settings.options.clone()));
    (Some(stamp), rules)
}

fn read(path: &Path) -> Result<PolicyFile, Problem> {
    let name = path.display().to_string();
    let mut text = vec![];
    let read = File::open(path).and_then(|file| file.take(MAX_FILE as u64 + 1).read_to_end(&mut text));
    match read {
        Ok(_) => PolicyFile::read(&name, &text),
        Err(error) => {
            Err(Problem { file: name, line: None, rule: None, what: format!("cannot be read: {error}") })
        }
    }
}

/// Whether the files can be read as rules.
///
/// # Errors
///
/// What is wrong with them.
pub(crate) fn check_files(settings: &PolicySettings) -> Result<(), String> {
    load(settings).1.map(drop).map_err(|problem| problem.to_string())
}

/// Reads the rules, and goes on looking for changes of the files until the task is ended. Files that are wrong are an
/// error now, and later leave in force what is.
pub(crate) fn start(settings: &PolicySettings) -> anyhow::Result<(Policy, JoinHandle<()>)> {
    let (stamp, rules) = load(settings);
    let (enforcer, warnings) = rules.map_err(|problem| anyhow::anyhow!("policy: {problem}"))?;
    warn(&warnings);
    if settings.file_is_named && settings.find(&settings.file).is_none() {
        tracing::warn!(policy_file = settings.file, "the policy file is not there: the built-in rules apply");
    } else if settings.find(&settings.file).is_none() && settings.find("policy.json").is_some() {
        tracing::warn!("policy.json is not read unless [oslo_policy] policy_file names it");
    }
    let policy = Policy::new(enforcer);
    let watch = tokio::spawn(watch(settings.clone(), policy.clone(), stamp));
    Ok((policy, watch))
}

async fn watch(settings: PolicySettings, policy: Policy, mut known: Option<Stamp>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (settings, before) = (settings.clone(), known.clone());
        #[expect(clippy::disallowed_methods, reason = "one at a time: the next look waits for this one")]
        let look = tokio::task::spawn_blocking(move || {
            let now = settings.paths().ok().map(|paths| Stamp::of(&paths));
            (now != before).then(|| load(&settings))
        });
        let Ok(Some((stamp, rules))) = look.await else { continue };
        known = stamp;
        match rules {
            Ok((enforcer, warnings)) => {
                warn(&warnings);
                policy.replace(enforcer);
                tracing::info!("the policy files have changed: the new rules are in force");
            }
            Err(problem) => {
                tracing::error!(%problem, "the policy files have changed and are wrong: the old rules stay in force");
            }
        }
    }
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!("policy: {warning}");
    }
}

pub(crate) fn run(command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Sample => {
            print(&octavia_policy::sample(defaults(), operations))?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Check(check) => {
            let (settings, _) = config::settings(&check.config)?;
            let (_, rules) = load(&settings.policy);
            let (enforcer, _) = rules.map_err(|problem| anyhow::anyhow!("policy: {problem}"))?;
            let (name, decision) = decide(&enforcer, &check);
            print(&told(&name, &decision))?;
            Ok(if decision.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// The requests that are checked against a rule.
fn operations(rule: &str) -> Vec<String> {
    let policy = rule.strip_prefix(PREFIX).unwrap_or_default();
    let asks = |name: &str| {
        let list = policy.strip_suffix("-global") == Some(name);
        let part = policy.strip_suffix(":vip_sg_ids") == Some(name);
        // A change of all members of a pool adds and removes some.
        let batch = name == "member:put" && matches!(policy, "member:post" | "member:delete");
        policy == name || list || part || batch
    };
    let prefix = |path: &str| if path.starts_with("amphorae") { "octavia" } else { "lbaas" };
    ENDPOINTS
        .iter()
        .filter(|endpoint| asks(endpoint.policy))
        .filter(|endpoint| policy == endpoint.policy || !endpoint.path.contains("{member}"))
        .map(|endpoint| format!("{} /v2/{}/{}", endpoint.method, prefix(endpoint.path), endpoint.path))
        .collect()
}

fn decide(enforcer: &Enforcer, check: &PolicyCheck) -> (String, Decision) {
    let roles: Vec<_> = check.roles.iter().map(|role| role.trim().to_owned()).collect();
    let mut caller = Credentials::default()
        .with("project_id", check.project.clone())
        .with("system_scope", check.system_scope.clone())
        .with("domain_id", check.domain.clone())
        .with("roles", roles);
    caller.is_admin = enforcer.allows("context_is_admin", &caller, &caller.as_target());
    let project = check.target_project.as_ref().or(check.project.as_ref());
    let target = project.map(|project| Target::default().with("project_id", project)).unwrap_or_default();
    let full = format!("{PREFIX}{}", check.rule);
    let name = if enforcer.knows(&full) { full } else { check.rule.clone() };
    let decision = enforcer.explain(&name, &caller, &target);
    (name, decision)
}

fn told(name: &str, decision: &Decision) -> String {
    let mut text = format!("{}: {name}\n", if decision.allowed { "allowed" } else { "denied" });
    for step in &decision.steps {
        let indent = "  ".repeat(step.depth as usize);
        let held = if step.held { "yes" } else { "no " };
        let origin = step.origin.as_ref().map(|origin| format!("  ({origin})")).unwrap_or_default();
        text += &format!("  {held}  {indent}{}{origin}\n", step.check);
    }
    if let Some(denial) = &decision.denial {
        text += &format!("  {denial}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(dir: &Path) -> PolicySettings {
        PolicySettings {
            file: "policy.yaml".to_owned(),
            file_is_named: false,
            dirs: vec!["policy.d".to_owned(), "not-there".to_owned()],
            places: vec![dir.join("nowhere"), dir.to_owned()],
            options: Options::default(),
        }
    }

    fn check(rules: &Enforcer, roles: &str) -> bool {
        let check = PolicyCheck {
            rule: "flavor:post".to_owned(),
            roles: roles.split(',').map(str::to_owned).collect(),
            project: Some("p".to_owned()),
            target_project: None,
            system_scope: None,
            domain: None,
            config: Default::default(),
        };
        decide(rules, &check).1.allowed
    }

    #[test]
    fn files_count_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, role: &str| {
            fs::write(dir.path().join(name), format!("'{PREFIX}flavor:post': role:{role}")).unwrap();
        };
        let who = || {
            let (_, rules) = load(&settings(dir.path()));
            let (rules, _) = rules.unwrap();
            ["admin", "a", "b", "c"]
                .into_iter()
                .filter(|role| check(&rules, role))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(who(), "admin");
        write("policy.yaml", "a");
        assert_eq!(who(), "a");
        fs::create_dir(dir.path().join("policy.d")).unwrap();
        write("policy.d/2", "c");
        write("policy.d/1", "b");
        write("policy.d/.3", "a");
        fs::create_dir(dir.path().join("policy.d/9")).unwrap();
        assert_eq!(who(), "c");
    }

    #[tokio::test]
    async fn changed_files_apply_and_broken_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.yaml");
        fs::write(&file, "a: role:x and").unwrap();
        let settings = settings(dir.path());
        let error = start(&settings).unwrap_err().to_string();
        assert!(error.ends_with("policy.yaml:1: rule \"a\": it ends where a check was expected"), "{error}");

        fs::write(&file, "{}").unwrap();
        let (stamp, first) = load(&settings);
        let known = stamp.unwrap();
        assert!(check(&first.unwrap().0, "admin"));
        assert_eq!(Stamp::of(&settings.paths().unwrap()), known, "nothing has changed");
        // Put in place by renaming, as editors and configuration management do.
        let next = dir.path().join("next");
        fs::write(&next, "[]").unwrap();
        fs::rename(&next, &file).unwrap();
        assert_ne!(Stamp::of(&settings.paths().unwrap()), known);
        assert!(load(&settings).1.is_err());
        fs::remove_file(&file).unwrap();
        assert_ne!(Stamp::of(&settings.paths().unwrap()), known);
    }

    #[test]
    fn an_answer_says_why() {
        let (rules, _) = Enforcer::new(defaults(), &[], Options::default()).unwrap();
        let check = PolicyCheck {
            rule: "loadbalancer:put".to_owned(),
            roles: vec!["reader".to_owned()],
            project: Some("p".to_owned()),
            target_project: None,
            system_scope: None,
            domain: None,
            config: Default::default(),
        };
        let (name, decision) = decide(&rules, &check);
        insta::assert_snapshot!(told(&name, &decision), @r"
        denied: os_load-balancer_api:loadbalancer:put
          no   rule:load-balancer:write  (built in)
          no     (rule:load-balancer:member_and_owner or rule:load-balancer:admin)
          no       rule:load-balancer:member_and_owner  (built in)
          no         rule:project-member  (built in)
          no           (role:member and project_id:%(project_id)s)
          no             role:member
          no       rule:load-balancer:admin  (built in)
          no         (is_admin:True or role:admin)
          no           is_admin:True
          no           role:admin
        ");
        let (name, decision) = decide(&rules, &PolicyCheck { rule: "nothing".to_owned(), ..check });
        assert_eq!(told(&name, &decision), "denied: nothing\n  there is no such rule\n");
    }

    #[test]
    fn every_rule_of_an_endpoint_says_which_requests_it_is_for() {
        for default in defaults().iter().filter(|default| default.name.starts_with(PREFIX)) {
            assert!(!operations(default.name).is_empty(), "{}", default.name);
        }
    }
}
