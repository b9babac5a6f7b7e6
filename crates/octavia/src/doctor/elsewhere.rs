//! What others answer: the database, the cloud, whoever listens where we want to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use octavia_cloud::local::LocalClient;
use octavia_cloud::{Identity as _, IdentityError, Reader, SecretError, SecretRef};
use octavia_store::{Schema, Store, StoreOptions};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Finding;
use crate::installation::Installation;
use crate::local;
use crate::settings::secrets::SecretsSettings;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clocks may differ by so much before something is decided wrongly: leases last for half a minute.
const SKEW: SignedDuration = SignedDuration::from_secs(5);
/// What waits for longer waits for somebody who is not there.
const WAITING: u64 = 300;
/// A certificate that ends sooner is told of.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(super) async fn database(installation: &Installation) -> Vec<Finding> {
    const PLACE: &str = "database";
    let Some(url) = installation.database() else {
        let remedy = "Name it: [database] connection, or --database; or the --state-dir of an all-in-one.";
        return vec![Finding::warning(PLACE, "none is named, so nothing is known of it", remedy)];
    };
    let options = StoreOptions { timeout: PATIENCE, ..StoreOptions::default() };
    let store = match Store::connect(&url, options).await {
        Ok(store) => store,
        Err(error) => {
            let remedy = "Start it, or correct [database] connection: host, port, user, password, name.";
            return vec![Finding::error(PLACE, error.to_string(), remedy)];
        }
    };
    let schema = match store.schema().await {
        Ok(schema) => schema,
        Err(error) => {
            return vec![Finding::error(PLACE, error.to_string(), "Look at the database's own log.")];
        }
    };
    match &schema {
        Schema::Current => {}
        Schema::Absent | Schema::Older(_) => {
            let what = format!("its schema is not this version's ({schema})");
            return vec![Finding::error(PLACE, what, "octavia db upgrade")];
        }
        Schema::Newer(_) if schema.serves() => {}
        Schema::Newer(_) => {
            let what = format!("its schema is of a newer version ({schema})");
            return vec![Finding::error(PLACE, what, "Start that version.")];
        }
    }
    let mut findings =
        vec![Finding::good(PLACE, format!("it answers; beside this version's, its schema is {schema}"))];
    match (store.now().await, store.census().await) {
        (Ok(theirs), Ok(census)) => {
            findings.push(clock(theirs, Timestamp::now()));
            findings.extend(work(census.oldest_pending, census.leases_run_out));
        }
        (Err(error), _) | (_, Err(error)) => {
            findings.push(Finding::error(PLACE, error.to_string(), "Look at the database's own log."));
        }
    }
    findings
}

fn clock(theirs: Timestamp, ours: Timestamp) -> Finding {
    let apart = theirs.duration_since(ours).abs();
    match apart > SKEW {
        true => Finding::error(
            "clock",
            format!("this machine's and the database's are {} s apart", apart.as_secs()),
            "Set both by NTP: amphorae would be taken for silent, and certificates for not yet valid.",
        ),
        false => Finding::good("clock", "as the database's"),
    }
}

fn work(oldest_pending: u64, leases_run_out: u64) -> Vec<Finding> {
    const PLACE: &str = "work";
    let remedy = "Look whether an `octavia worker` runs, and what its log says.";
    let mut findings = vec![];
    if oldest_pending > WAITING {
        let what = format!("a load balancer has been PENDING for {oldest_pending} s");
        findings.push(Finding::error(PLACE, what, remedy));
    }
    if leases_run_out > 0 {
        let what = format!("{leases_run_out} leases have run out, and nobody has taken them up");
        findings.push(Finding::error(PLACE, what, remedy));
    }
    if findings.is_empty() {
        findings.push(Finding::good(PLACE, "nothing waits too long"));
    }
    findings
}

pub(super) async fn local_cloud(installation: &Installation) -> Vec<Finding> {
    const PLACE: &str = "local cloud";
    let made = installation.state_dir.as_ref().filter(|dir| dir.join("cloud/cloud.json").exists());
    let Some(dir) = made else { return vec![] };
    let cloud = match LocalClient::open(dir, "", vec![]) {
        Ok(cloud) => cloud,
        Err(error) => {
            return vec![Finding::error(PLACE, error.to_string(), "Restore the directory from a backup.")];
        }
    };
    let mut findings = vec![authority(cloud.authority_expires_at(), Timestamp::now())];
    // An all-in-one has it for itself.
    if local::url(dir).is_ok() {
        findings.push(match timeout(PATIENCE, cloud.ping()).await {
            Ok(Ok(())) => Finding::good(PLACE, "it is kept, and answers"),
            Ok(Err(error)) => Finding::error(PLACE, error.message, "Start `octavia local serve`."),
            Err(_) => {
                Finding::error(PLACE, "it does not answer", "Look at the log of `octavia local serve`.")
            }
        });
    }
    findings
}

fn authority(expires_at: Timestamp, now: Timestamp) -> Finding {
    const PLACE: &str = "certificates";
    let what = format!("the authority of amphorae ends {expires_at}");
    let left = expires_at.duration_since(now);
    if left <= SignedDuration::ZERO {
        return Finding::error(PLACE, what, "No amphora is believed any more: a new authority is needed.");
    }
    if left < SOON {
        return Finding::warning(PLACE, what, "Have a new authority before that.");
    }
    Finding::good(PLACE, what)
}

/// Who listens where a service of this configuration would, or whether it could.
pub(super) async fn addresses(installation: &Installation) -> Vec<Finding> {
    let settings = &installation.settings;
    let mut findings = vec![tcp("API address", settings.bind, "[api_settings] bind_host, bind_port").await];
    if settings.metrics.enabled {
        findings.push(tcp("metrics address", settings.metrics.bind, "[metrics] bind_host, bind_port").await);
    }
    let named = settings.heartbeats.controllers();
    let cloud = installation.state_dir.as_ref().and_then(|dir| LocalClient::open(dir, "", vec![]).ok());
    if named.is_empty()
        && let Some(cloud) = cloud
    {
        findings.push(heartbeats(settings.heartbeats.address(cloud.management_address())).await);
    }
    for address in named {
        findings.push(heartbeats(*address).await);
    }
    findings
}

async fn tcp(place: &'static str, address: SocketAddr, option: &str) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Finding::good(place, format!("{address} is free: nothing runs there now")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(_)) => Finding::good(place, format!("somebody listens at {address}")),
                _ => Finding::warning(
                    place,
                    format!("{address} is taken, and nobody answers there"),
                    "See who has it: ss -ltnp",
                ),
            }
        }
        Err(error) => {
            Finding::error(place, format!("{address}: {error}"), format!("Choose another: {option}."))
        }
    }
}

/// Amphorae send them there, whether or not somebody listens.
async fn heartbeats(address: SocketAddr) -> Finding {
    const PLACE: &str = "heartbeats";
    match UdpSocket::bind(address).await {
        Ok(_) => Finding::warning(
            PLACE,
            format!("nobody listens at {address}"),
            "Start an `octavia health-manager` there (--bind), or take it out of controller_ip_port_list.",
        ),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Finding::good(PLACE, format!("somebody listens at {address}"))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            Finding::good(PLACE, format!("{address} is another machine's: look there"))
        }
        Err(error) => {
            Finding::error(PLACE, format!("{address}: {error}"), "Choose another: bind_ip, bind_port.")
        }
    }
}

/// Nobody has that token; who says so has been logged in.
pub(super) async fn identity(installation: &Installation) -> Vec<Finding> {
    const PLACE: &str = "keystone";
    let Some(settings) = &installation.settings.keystone else { return vec![] };
    let asked = match settings.open() {
        Ok(keystone) => timeout(PATIENCE * 3, keystone.verify("octavia-doctor")).await,
        Err(error) => {
            return vec![Finding::error(PLACE, format!("{error:#}"), "Correct [keystone_authtoken].")];
        }
    };
    vec![match asked {
        Ok(Ok(_) | Err(IdentityError::InvalidToken)) => {
            Finding::good(PLACE, "it answers, and lets us look at tokens")
        }
        Ok(Err(IdentityError::Unavailable(why))) => Finding::error(
            PLACE,
            why,
            "Correct [keystone_authtoken]: auth_url, user, password, cafile; or start it.",
        ),
        Err(_) => Finding::error(
            PLACE,
            "it does not answer in time",
            "Look whether auth_url can be reached from here.",
        ),
    }]
}

/// Nobody has that secret; who says so was found by the catalogue, and took our token.
pub(super) async fn key_manager(installation: &Installation) -> Vec<Finding> {
    const PLACE: &str = "barbican";
    let SecretsSettings::Barbican(settings) = &installation.settings.secrets else { return vec![] };
    let nobodys = SecretRef::parse("/v1/secrets/00000000-0000-4000-8000-000000000000");
    let asked = match (settings.connect(), nobodys) {
        (Ok(barbican), Ok(nobodys)) => {
            timeout(PATIENCE * 3, octavia_cloud::Secrets::payload_fetch(&barbican, &nobodys, Reader::Service))
                .await
        }
        (Err(error), _) => {
            return vec![Finding::error(PLACE, format!("{error:#}"), "Correct [service_auth].")];
        }
        (_, Err(error)) => return vec![Finding::error(PLACE, error.to_string(), "Report this.")],
    };
    vec![match asked {
        Ok(Err(SecretError::Cloud(error))) => {
            Finding::error(PLACE, error.message, "Correct [service_auth] and [certificates]; or start it.")
        }
        Ok(_) => Finding::good(PLACE, "it answers"),
        Err(_) => {
            Finding::error(PLACE, "it does not answer in time", "Look whether it can be reached from here.")
        }
    }]
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Good, Warning};
    use super::*;

    #[test]
    fn clocks_certificates_and_work() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| now + SignedDuration::from_secs(seconds);
        for (apart, wanted) in [(0, Good), (4, Good), (-4, Good), (6, Error), (-3600, Error)] {
            assert_eq!(clock(at(apart), now).severity, wanted, "{apart}");
        }
        for (left, wanted) in [(-1, Error), (0, Error), (3600, Warning), (40 * 86400, Good)] {
            assert_eq!(authority(at(left), now).severity, wanted, "{left}");
        }
        for (pending, run_out, wanted) in
            [(0, 0, vec![Good]), (299, 0, vec![Good]), (301, 2, vec![Error, Error])]
        {
            let severities: Vec<_> = work(pending, run_out).iter().map(|finding| finding.severity).collect();
            assert_eq!(severities, wanted);
        }
    }

    #[tokio::test]
    async fn addresses_that_are_free_taken_or_none_of_ours() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let found = tcp("p", address, "o").await;
        assert!(found.severity == Good && found.what.contains("somebody listens"), "{found:?}");
        drop(taken);
        let found = tcp("p", address, "o").await;
        assert!(found.severity == Good && found.what.contains("is free"), "{found:?}");
        // Kept for documentation: no machine has it.
        let found = tcp("p", "192.0.2.1:80".parse().unwrap(), "o").await;
        assert!(found.severity == Error && found.remedy.contains('o'), "{found:?}");

        let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(heartbeats(address).await.severity, Good);
        drop(taken);
        assert_eq!(heartbeats(address).await.severity, Warning);
        assert_eq!(heartbeats("192.0.2.1:5555".parse().unwrap()).await.severity, Good);
    }
}
