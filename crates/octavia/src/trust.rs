//! `octavia trust`: by what controllers and amphorae know each other, from outside.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use octavia_cloud::Trust;
use octavia_cloud::local;
use octavia_model::Amphora;
use octavia_plan::not_yet_of;
use octavia_store::{ListQuery, Store, StoreOptions};

use crate::args::{TrustCommand, TrustOptions};
use crate::config;

pub(crate) async fn run(command: TrustCommand) -> Result<ExitCode> {
    let text = match command {
        TrustCommand::Show(options) => shown(&local::trust(&options.state_dir)?, &amphorae(&options).await?),
        TrustCommand::Roll(options) => {
            let trust = local::trust_roll(&options.state_dir)?;
            let name = &trust.issuing.name;
            format!(
                "authority {name} issues from now on; amphorae get certificates of it by themselves\n\
                 when `octavia trust show` says that all have one: octavia trust finish\n"
            )
        }
        TrustCommand::Finish(options) => {
            let trust = local::trust(&options.state_dir)?;
            let rows = amphorae(&options).await?;
            let needing = not_yet_of(&rows, &trust.issuing.name);
            ensure!(
                trust.retiring.is_empty() || needing.is_empty(),
                "nothing was dropped: the authority of before is needed by {}\n{}\
                 Those whose agent answers get another certificate by themselves, others have to be replaced or deleted",
                counted(needing.len()),
                needing.iter().map(|amphora| format!("  {}\n", line(amphora))).collect::<String>(),
            );
            let trust = local::trust_finish(&options.state_dir)?;
            format!("only authority {} and the newest heartbeat key are good now\n", trust.issuing.name)
        }
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// All that are not gone.
async fn amphorae(options: &TrustOptions) -> Result<Vec<Amphora>> {
    let (settings, _) = config::settings(&options.config)?;
    let url = match options.database.clone().or(settings.database) {
        Some(url) => url,
        None => {
            ensure!(
                crate::local::url(&options.state_dir).is_err(),
                "this cloud is kept for daemons: which amphorae there are is in their database; name it by --config-file or \
                 --database"
            );
            format!("sqlite://{}?mode=rw", options.state_dir.join("octavia.db").display())
        }
    };
    let store = Store::connect(&url, StoreOptions::default()).await.context("the database does not open")?;
    let page = store.amphora_list(&ListQuery::default()).await.context("the database cannot be asked")?;
    Ok(page.items)
}

fn shown(trust: &Trust, amphorae: &[Amphora]) -> String {
    let mut text = String::new();
    for (at, authority) in trust.authorities().enumerate() {
        let of = amphorae.iter().filter(|row| row.cert_authority.as_deref() == Some(&authority.name));
        let role = if at == 0 { "issues" } else { "is believed still" };
        let (name, until, of) = (&authority.name, date(authority.expires_at), counted(of.count()));
        let _ = writeln!(text, "authority {name} {role}; good until {until}; certificates of {of}");
    }
    for amphora in amphorae {
        let _ = writeln!(text, "{}", line(amphora));
    }
    if !trust.retiring.is_empty() {
        let left = not_yet_of(amphorae, &trust.issuing.name).len();
        let next = if left == 0 { "; octavia trust finish ends the change" } else { "" };
        let _ = writeln!(text, "{} to get a certificate of the new authority{next}", counted(left));
    }
    text
}

fn line(amphora: &Amphora) -> String {
    let lb = amphora.load_balancer_id.map_or_else(|| "no load balancer".to_owned(), |id| id.to_string());
    let authority = amphora.cert_authority.as_deref().unwrap_or("unknown");
    let until = amphora.cert_expiration.map_or_else(|| "unknown".to_owned(), date);
    format!("amphora {} of {lb}: {}, certificate of {authority} until {until}", amphora.id, amphora.status)
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn counted(amphorae: usize) -> String {
    format!("{amphorae} {}", if amphorae == 1 { "amphora" } else { "amphorae" })
}

#[cfg(test)]
mod tests {
    use octavia_cloud::{Authority, HeartbeatKey};
    use octavia_model::{AmphoraId, AmphoraRole, LoadBalancerId};

    use super::*;

    #[test]
    fn says_who_has_what_until_when() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let authority = |name: &str| Authority {
            name: name.to_owned(),
            pem: String::new(),
            expires_at: at("2036-01-02T03:04:05.6Z"),
        };
        let mut trust = Trust {
            issuing: authority("new"),
            retiring: vec![authority("old")],
            heartbeat_key: HeartbeatKey::new("SECRET"),
            previous_keys: vec![],
        };
        let mut row = Amphora::new(
            AmphoraId::nil(),
            LoadBalancerId::nil(),
            AmphoraRole::Standalone,
            Timestamp::UNIX_EPOCH,
        );
        row.cert_authority = Some("old".to_owned());
        row.cert_expiration = Some(at("2026-01-02T03:04:05Z"));
        let told = shown(&trust, &[row.clone()]);
        for words in [
            "authority new issues; good until 2036-01-02T03:04:05Z; certificates of 0 amphorae\n",
            "authority old is believed still; good until 2036-01-02T03:04:05Z; certificates of 1 amphora\n",
            "amphora 00000000-0000-0000-0000-000000000000 of 00000000-0000-0000-0000-000000000000: PENDING_CREATE, \
             certificate of old until 2026-01-02T03:04:05Z\n",
            "1 amphora to get a certificate of the new authority\n",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        row.cert_authority = Some("new".to_owned());
        assert!(shown(&trust, &[row.clone()]).ends_with("finish ends the change\n"));
        trust.retiring.clear();
        row.cert_authority = None;
        let told = shown(&trust, &[row]);
        assert!(told.contains("certificate of unknown") && !told.contains("the new authority"), "{told}");
        assert!(!told.contains("SECRET"));
    }
}
