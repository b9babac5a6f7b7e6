//! What each command does: resolve names, make one call, wait if asked, print.

mod amphora;
mod availability_zone;
mod drill;
mod flavor;
mod health_monitor;
mod l7policy;
mod l7rule;
mod lb;
mod listener;
mod member;
mod output;
mod pool;
mod profile;
mod provider;
mod quota;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::args::{Common, Filters, Options, Switches, Wait};
use crate::clouds::Environment;
use crate::table::{printable, shortened};
use crate::wait::{Goal, poll};
use crate::{Api, CloudConfig, Command, Console, Error, Kind, Object, Session};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Executes a command for the person at the terminal: everything is printed, also errors, which become exit codes.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut console = Console::new(&mut out, &mut err, Console::stderr_is_terminal());
    let environment = Environment::of_process();
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Then the signal ends the process, as it does without us.
            std::future::pending::<()>().await;
        }
    };
    Ok(run_until(interrupt, command, &environment, &mut console).await)
}

/// The same with given surroundings; `interrupt` = the person does not want to wait any more.
pub async fn run_until(
    interrupt: impl Future<Output = ()>,
    command: Command,
    environment: &Environment,
    console: &mut Console<'_>,
) -> ExitCode {
    tokio::select! {
        code = run_with(command, environment, console) => return code,
        () = interrupt => {}
    }
    console.interrupted();
    ExitCode::from(INTERRUPTED)
}

/// The same to its end.
pub async fn run_with(command: Command, environment: &Environment, console: &mut Console<'_>) -> ExitCode {
    match dispatch(command, environment, console).await {
        Ok(()) => {
            console.end_progress();
            ExitCode::SUCCESS
        }
        // Whoever read our output had enough of it.
        Err(Error::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            console.error(&error.render());
            error.exit_code()
        }
    }
}

async fn dispatch(
    command: Command,
    environment: &Environment,
    console: &mut Console<'_>,
) -> Result<(), Error> {
    let options = match &command {
        Command::Lb(group) => group.options.clone(),
        Command::Listener(group) => group.options.clone(),
        Command::Pool(group) => group.options.clone(),
        Command::Member(group) => group.options.clone(),
        Command::HealthMonitor(group) => group.options.clone(),
        Command::L7Policy(group) => group.options.clone(),
        Command::L7Rule(group) => group.options.clone(),
        Command::Quota(group) => group.options.clone(),
        Command::Flavor(group) => group.options.clone(),
        Command::FlavorProfile(group) => group.options.clone(),
        Command::AvailabilityZone(group) => group.options.clone(),
        Command::AvailabilityZoneProfile(group) => group.options.clone(),
        Command::Provider(group) => group.options.clone(),
        Command::Amphora(group) => group.options.clone(),
        Command::Drill(group) => group.options.clone(),
    };
    let cloud = CloudConfig::load(environment, &options.overrides())?;
    let api = Api::new(Session::new(cloud)?);
    let api = if options.dry_run() { api.rehearsing() } else { api };
    let mut job = Job { api, options, console };
    let outcome = match command {
        Command::Lb(group) => lb::run(&mut job, group.command).await,
        Command::Listener(group) => listener::run(&mut job, group.command).await,
        Command::Pool(group) => pool::run(&mut job, group.command).await,
        Command::Member(group) => member::run(&mut job, group.command).await,
        Command::HealthMonitor(group) => health_monitor::run(&mut job, group.command).await,
        Command::L7Policy(group) => l7policy::run(&mut job, group.command).await,
        Command::L7Rule(group) => l7rule::run(&mut job, group.command).await,
        Command::Quota(group) => quota::run(&mut job, group.command).await,
        Command::Flavor(group) => flavor::run(&mut job, group.command).await,
        Command::FlavorProfile(group) => profile::run_flavor(&mut job, group.command).await,
        Command::AvailabilityZone(group) => availability_zone::run(&mut job, group.command).await,
        Command::AvailabilityZoneProfile(group) => profile::run_zone(&mut job, group.command).await,
        Command::Provider(group) => provider::run(&mut job, group.command).await,
        Command::Amphora(group) => amphora::run(&mut job, group.command).await,
        Command::Drill(group) => drill::run(&mut job, group.command).await,
    };
    match outcome {
        Ok(()) | Err(Error::Rehearsed) => job.print_plans(),
        failed => failed,
    }
}

/// One command under way.
struct Job<'a, 'c> {
    api: Api,
    options: Options,
    console: &'a mut Console<'c>,
}

impl Job<'_, '_> {
    /// Waits until the load balancer is ACTIVE: then every accepted change below it is in force.
    async fn wait_lb(&mut self, lb: &str, wait: &Wait) -> Result<(), Error> {
        if !wait.wait || self.options.dry_run() {
            return Ok(());
        }
        let (api, console) = (&self.api, &mut *self.console);
        let look = || api.show(Kind::LoadBalancer, lb);
        follow(console, "load balancer", lb, Goal::Active, wait, look).await
    }

    /// Waits until a deleted object is gone. What happens to its load balancer decides whether it failed.
    async fn wait_gone(&mut self, kind: Kind, id: &str, wait: &Wait) -> Result<(), Error> {
        if !wait.wait || self.options.dry_run() {
            return Ok(());
        }
        let (api, console) = (&self.api, &mut *self.console);
        follow(console, kind.noun(), id, Goal::Gone, wait, || api.show(kind, id)).await
    }

    /// The listener after its load balancer became ACTIVE. A listener can fail alone, when its port cannot be opened.
    async fn listener_settled(&self, id: &str) -> Result<Object, Error> {
        let object = self.api.show(Kind::Listener, id).await?;
        if object.provisioning_status() == "ERROR" {
            let what = format!("listener {}", printable(object.label()));
            return Err(Error::WentToError { what, reason: object.reason().map(|r| printable(&r)) });
        }
        Ok(object)
    }

    async fn member_wait_gone(&mut self, pool: &str, id: &str, wait: &Wait) -> Result<(), Error> {
        if !wait.wait || self.options.dry_run() {
            return Ok(());
        }
        let (api, console) = (&self.api, &mut *self.console);
        follow(console, "member", id, Goal::Gone, wait, || api.member_show(pool, id)).await
    }

    async fn l7rule_wait_gone(&mut self, policy: &str, id: &str, wait: &Wait) -> Result<(), Error> {
        if !wait.wait || self.options.dry_run() {
            return Ok(());
        }
        let (api, console) = (&self.api, &mut *self.console);
        follow(console, "L7 rule", id, Goal::Gone, wait, || api.l7rule_show(policy, id)).await
    }

    /// The load balancer a listener belongs to.
    async fn listener_lb(&self, listener: &str) -> Result<String, Error> {
        Ok(parent(&self.api.show(Kind::Listener, listener).await?, "loadbalancers")?.to_owned())
    }

    /// The load balancer a pool belongs to.
    async fn pool_lb(&self, pool: &str) -> Result<String, Error> {
        Ok(parent(&self.api.show(Kind::Pool, pool).await?, "loadbalancers")?.to_owned())
    }
}

/// The most columns a name takes in a line of progress.
const LABEL_WIDTH: usize = 32;

async fn follow<F: Future<Output = Result<Object, Error>>>(
    console: &mut Console<'_>,
    noun: &str,
    id: &str,
    goal: Goal,
    wait: &Wait,
    look: impl FnMut() -> F,
) -> Result<(), Error> {
    let start = Instant::now();
    let (mut label, mut last) = (id.to_owned(), String::new());
    let mut say = |label: &str, status: &str, elapsed: Duration| {
        let text = format!("{noun} {label}: {status} after {:.1} s", elapsed.as_secs_f64());
        console.progress(&text, status != last);
        last = status.to_owned();
    };
    let outcome = poll(id, goal, wait.timeout(), look, |seen, elapsed| match seen {
        Ok(object) => {
            label = shortened(object.label(), LABEL_WIDTH);
            say(&label, object.provisioning_status(), elapsed);
        }
        Err(error) => say(&label, &format!("not known ({error})"), elapsed),
    })
    .await;
    if outcome.is_ok() && goal == Goal::Gone {
        say(&label, "DELETED", start.elapsed());
    }
    console.end_progress();
    outcome
}

fn parent<'a>(object: &'a Object, key: &str) -> Result<&'a str, Error> {
    object.references(key).first().copied().ok_or_else(|| Error::Answer {
        url: "the service".to_owned(),
        reason: format!("{} has no {key}", object.label()),
    })
}

/// The attributes of a request, of those options that were given.
#[derive(Default)]
struct Body(Map<String, Value>);

impl Body {
    fn put(&mut self, key: &str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
        self
    }

    /// Name, state and tags; `tags` = those the object has, when it is being changed.
    fn common(&mut self, common: &Common, tags: Option<&Object>) -> &mut Self {
        self.put("name", common.name.clone()).switches(&common.switches, tags)
    }

    /// As [`Body::common`], without a name.
    fn switches(&mut self, given: &Switches, tags: Option<&Object>) -> &mut Self {
        self.put("admin_state_up", (given.enable || given.disable).then_some(given.enable));
        if !given.tags.is_empty() || given.no_tag {
            let held = tags.and_then(|object| object.0.get("tags")).and_then(Value::as_array);
            let mut all: Vec<Value> = if given.no_tag { vec![] } else { held.cloned().unwrap_or_default() };
            for tag in &given.tags {
                if !all.iter().any(|held| held == tag) {
                    all.push(tag.as_str().into());
                }
            }
            self.put("tags", Some(all));
        }
        self
    }

    fn into_value(self) -> Value {
        self.0.into()
    }

    /// For `set`: nothing to change is a mistake on the command line.
    fn into_change(self) -> Result<Value, Error> {
        if self.0.is_empty() {
            return Err(Error::Usage("nothing to change: give at least one option".to_owned()));
        }
        Ok(self.0.into())
    }
}

fn filter_query(filters: &Filters) -> Vec<(&'static str, String)> {
    let mut query = vec![];
    if let Some(name) = &filters.name {
        query.push(("name", name.clone()));
    }
    if !filters.tags.is_empty() {
        query.push(("tags", filters.tags.join(",")));
    }
    query
}

impl crate::args::Pairs {
    fn to_json(&self) -> Value {
        Value::Object(self.0.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect())
    }
}
