//! The first minute: everything started, a load balancer made through the API, and what its clients see when a
//! member dies and comes back.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use octavia_client::{
    Api, CloudConfig, Error as ClientError, Goal, Kind, ListenerSpec, MemberSpec, MonitorSpec, Populated,
    Session,
};
use serde_json::{Map, Value, json};

use crate::all_in_one::AllInOne;
use crate::args::QuickstartOptions;
use crate::demo::{DemoMember, Visits, visit};
use crate::logging::{self, LogOptions};
use crate::settings::Settings;
use crate::signal::StopSignals;

const MEMBERS: [&str; 3] = ["member-1", "member-2", "member-3"];
/// Above 1023: a newcomer has no privilege.
const PORT: u16 = 8080;
const SERVING_WITHIN: Duration = Duration::from_secs(60);
const STATUS_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn run(options: QuickstartOptions) -> anyhow::Result<ExitCode> {
    logging::init(&LogOptions::quiet())?;
    // Before there is anything that would be left behind.
    let mut signals = StopSignals::listen()?.or_hangup()?;
    let (state_dir, temporary) = state_dir(&options)?;
    let settings = Settings { bind: free_or_any(options.bind), ..Settings::default() };
    let mut say = Narrator { out: std::io::stdout() };
    say.line("Starting the API, the controllers and an embedded local cloud.")?;
    let service = AllInOne::start(&state_dir, &settings).await?;

    // Whatever happens, what was made is removed.
    let shown = present(&service, &mut say, &options, &mut signals).await;
    let removed = remove(&service, &mut say, temporary.is_some(), shown.made).await;
    service.stop().await;
    if let Err(error) = removed {
        return Err(match temporary {
            // Processes go on in there: whoever ends them wants to see which.
            Some(kept) => error.context(format!("something is left running in {}", kept.keep().display())),
            None => error,
        });
    }
    drop(temporary);
    shown.outcome?;
    Ok(ExitCode::SUCCESS)
}

/// What became of the demonstration.
struct Shown {
    /// The load balancer's id.
    made: Option<String>,
    outcome: anyhow::Result<()>,
}

async fn present(
    service: &AllInOne,
    say: &mut Narrator,
    options: &QuickstartOptions,
    signals: &mut StopSignals,
) -> Shown {
    // Not interrupted: whoever does not wait for the answer does not know what there is to remove.
    let demo = match Demo::start(service).await {
        Ok(demo) => demo,
        Err(outcome) => return Shown { made: None, outcome: Err(outcome) },
    };
    let made = Some(demo.id.clone());
    let outcome = tokio::select! {
        outcome = demo.show(service, say, options) => outcome,
        _ = signals.next() => Ok(()),
    };
    Shown { made, outcome }
}

/// The given directory, or a temporary one that goes when its guard is dropped.
fn state_dir(options: &QuickstartOptions) -> anyhow::Result<(PathBuf, Option<tempfile::TempDir>)> {
    match &options.state_dir {
        Some(path) => Ok((path.clone(), None)),
        None => {
            let dir = tempfile::Builder::new()
                .prefix("octavia-quickstart-")
                .tempdir()
                .context("no temporary directory; give one with --state-dir")?;
            Ok((dir.path().to_owned(), Some(dir)))
        }
    }
}

/// Somebody may well run the real thing on the default port already.
fn free_or_any(wanted: SocketAddr) -> SocketAddr {
    match std::net::TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(_) => SocketAddr::new(wanted.ip(), 0),
    }
}

/// The demo members, and a load balancer over them.
struct Demo {
    api: Api,
    members: Vec<DemoMember>,
    lb: Map<String, Value>,
    id: String,
    start: Instant,
}

impl Demo {
    async fn start(service: &AllInOne) -> anyhow::Result<Self> {
        let mut members = vec![];
        for name in MEMBERS {
            members.push(DemoMember::start(name).await?);
        }
        let api = api_as("demo", service.clouds_yaml())?;
        let start = Instant::now();
        let lb = create(&api, &members).await?;
        let id = lb["id"].as_str().context("the API gave no id")?.to_owned();
        Ok(Self { api, members, lb, id, start })
    }

    async fn show(
        self,
        service: &AllInOne,
        say: &mut Narrator,
        options: &QuickstartOptions,
    ) -> anyhow::Result<()> {
        let Self { api, mut members, lb, id, start } = self;
        let vip = lb["vip_address"].as_str().context("the API gave no VIP address")?.to_owned();
        let url = format!("http://{vip}:{PORT}/");
        wait_serving(&url).await?;
        say.line(&format!(
            "A load balancer serves at {url} - {} ms after the request for it.",
            start.elapsed().as_millis()
        ))?;
        api.lb_wait(&id, Goal::Active, STATUS_WITHIN, |_, _| {}).await?;

        say.line("\n300 requests, each on a new connection:")?;
        let visits = visit(&url, 300, Duration::from_secs(30), Duration::ZERO).await?;
        say.visits(&visits)?;

        let victim = &mut members[1];
        let pool = Place::of(&lb)?;
        say.line(&format!("\n{} is killed; requests go on, 100 a second at most:", victim.name))?;
        victim.kill();
        let visits = until_status(&api, &pool, victim, &url, "ERROR").await?;
        say.visits(&visits)?;
        say.line(&format!("The API says {} is ERROR. Without it:", victim.name))?;
        say.visits(&visit(&url, 100, Duration::from_secs(30), Duration::ZERO).await?)?;

        say.line(&format!("\n{} comes back:", victim.name))?;
        victim.revive().await?;
        let visits = until_status(&api, &pool, victim, &url, "ONLINE").await?;
        say.visits(&visits)?;
        say.line(&format!("The API says {} is ONLINE. With all members:", victim.name))?;
        say.visits(&visit(&url, 300, Duration::from_secs(30), Duration::ZERO).await?)?;

        if options.exit {
            return Ok(());
        }
        say.line(&format!("\nIt stays until you press Ctrl-C.\n\n  load balancer   {url}\n  API             {}\n  clouds.yaml     {}\n", service.url(), service.clouds_yaml().display()))?;
        say.line(&format!(
            "Try, in another terminal:\n\n  curl {url}\n  export OS_CLIENT_CONFIG_FILE={} OS_CLOUD=demo\n  {} lb list\n  openstack loadbalancer list        # python-openstackclient and python-octaviaclient, unmodified\n",
            service.clouds_yaml().display(),
            std::env::current_exe().map_or_else(|_| "octavia".to_owned(), |p| p.display().to_string()),
        ))?;
        std::future::pending().await
    }
}

/// As a user would: clouds.yaml, and a user of the embedded cloud.
fn api_as(user: &str, clouds_yaml: &Path) -> anyhow::Result<Api> {
    let cloud = CloudConfig::from_file(clouds_yaml, Some(user))?;
    Ok(Api::new(Session::new(cloud)?))
}

async fn create(api: &Api, members: &[DemoMember]) -> anyhow::Result<Map<String, Value>> {
    let subnet = api.network_find("subnet", "private-subnet").await?;
    let populated = Populated {
        listeners: vec![ListenerSpec { protocol: "HTTP".to_owned(), port: PORT }],
        members: members
            .iter()
            .map(|m| MemberSpec { address: m.address.ip(), port: m.address.port(), weight: None })
            .collect(),
        monitor: Some(MonitorSpec { delay: 1, timeout: 1, rise: 1, fall: 2, ..MonitorSpec::new("HTTP") }),
        algorithm: String::new(),
    };
    let mut body = Map::from_iter([
        ("name".to_owned(), json!("quickstart")),
        ("vip_subnet_id".to_owned(), json!(subnet)),
    ]);
    populated.fill(&mut body)?;
    Ok(api.create(Kind::LoadBalancer, body.into()).await?.0)
}

async fn wait_serving(url: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + SERVING_WITHIN;
    loop {
        let visits = visit(url, 1, SERVING_WITHIN, Duration::ZERO).await?;
        if visits.failures() == 0 {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the load balancer does not serve within {SERVING_WITHIN:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Where the demo members are in the API's answer to the create.
struct Place {
    pool: String,
    members: Vec<(String, u64)>,
}

impl Place {
    fn of(lb: &Map<String, Value>) -> anyhow::Result<Self> {
        let pool = &lb["pools"][0];
        let members = pool["members"].as_array().context("the API gave no members")?;
        Ok(Self {
            pool: pool["id"].as_str().context("the API gave no pool")?.to_owned(),
            members: members
                .iter()
                .filter_map(|m| Some((m["id"].as_str()?.to_owned(), m["protocol_port"].as_u64()?)))
                .collect(),
        })
    }

    fn member(&self, member: &DemoMember) -> anyhow::Result<&str> {
        let port = u64::from(member.address.port());
        let found = self.members.iter().find(|(_, p)| *p == port);
        Ok(&found.with_context(|| format!("the API does not know {}", member.name))?.0)
    }
}

/// Visits until the API reports the member so; gives what the visits saw.
async fn until_status(
    api: &Api,
    place: &Place,
    member: &DemoMember,
    url: &str,
    status: &str,
) -> anyhow::Result<Visits> {
    let id = place.member(member)?;
    let deadline = Instant::now() + STATUS_WITHIN;
    let mut all = Visits::default();
    loop {
        all.add(visit(url, 20, Duration::from_secs(5), Duration::from_millis(10)).await?);
        let now = api.member_show(&place.pool, id).await?;
        if now.operating_status() == status {
            return Ok(all);
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} is {} and not {status} after {STATUS_WITHIN:?}",
            member.name,
            now.operating_status()
        );
    }
}

/// Removes what has no place to stay: everything when the state directory goes, too; else only what the
/// demonstration `made`. Waits until it is gone.
async fn remove(
    service: &AllInOne,
    say: &mut Narrator,
    everything: bool,
    made: Option<String>,
) -> anyhow::Result<()> {
    // Users may have made something, in any project, while it stayed.
    let api = api_as("admin", service.clouds_yaml())?;
    let all = api.list(Kind::LoadBalancer, &[]).await?;
    let (go, stay): (Vec<_>, Vec<_>) =
        all.iter().partition(|lb| everything || made.as_deref() == Some(lb.id()));
    say.line(match go.len() {
        0 | 1 => "\nRemoving the load balancer.",
        _ => "\nRemoving the load balancers.",
    })?;
    for lb in &go {
        match api.lb_delete(lb.id(), true).await {
            // Somebody else is removing it.
            Err(ClientError::Api { status: 404 | 409, .. }) => {}
            outcome => outcome?,
        }
    }
    for lb in &go {
        api.lb_wait(lb.id(), Goal::Gone, STATUS_WITHIN, |_, _| {}).await?;
    }
    match stay.len() {
        0 => say.line("Nothing is left running."),
        count => say.line(&format!(
            "{count} other load balancer(s) of this state directory go on; `octavia all-in-one` manages them."
        )),
    }
}

struct Narrator {
    out: std::io::Stdout,
}

impl Narrator {
    fn line(&mut self, text: &str) -> anyhow::Result<()> {
        match writeln!(self.out, "{text}") {
            // Whoever read along has left; the demonstration still has to clean up.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    fn visits(&mut self, visits: &Visits) -> anyhow::Result<()> {
        self.line(&visits.chart())
    }
}
