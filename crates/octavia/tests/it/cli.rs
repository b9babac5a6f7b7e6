//! The `openstack` command of python-openstackclient and python-octaviaclient, unmodified.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{AllInOne, Origin};
use serde_json::Value;

use crate::world::{PORT, World, cloud_command, origins, output, venv_program};

pub(crate) struct Cli<'a> {
    pub(crate) product: &'a AllInOne,
    pub(crate) cloud: &'static str,
}

impl Cli<'_> {
    pub(crate) fn run(&self, words: &str) -> Result<String> {
        let program = venv_program("openstack")?;
        let mut command = cloud_command(&program, self.product);
        output(command.env("OS_CLOUD", self.cloud).arg("loadbalancer").args(words.split_whitespace()))
    }

    pub(crate) fn json(&self, words: &str) -> Result<Value> {
        let text = self.run(&format!("{words} -f json"))?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }
}

/// Each origin's share of `count` requests by curl, every one on a connection of its own.
fn curl(vip: &str, count: u32) -> Result<BTreeMap<String, u32>> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "-H", "Connection: close"]);
    let text = output(command.arg(format!("http://{vip}:{PORT}/[1-{count}]")))?;
    let mut shares = BTreeMap::new();
    for origin in text.lines() {
        *shares.entry(origin.to_owned()).or_default() += 1;
    }
    ensure!(shares.values().sum::<u32>() == count, "{count} requests, answered {shares:?}");
    Ok(shares)
}

/// Whether shares are as weights say, within a tenth of the requests.
fn check_shares(shares: &BTreeMap<String, u32>, weights: &[(&str, u32)]) -> Result<()> {
    let count: u32 = shares.values().sum();
    let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
    for (origin, weight) in weights {
        let wanted = count * weight / total;
        let got = shares.get(*origin).copied().unwrap_or(0);
        ensure!(got.abs_diff(wanted) <= count / 10, "{origin} got {got} of {count}, weights are {weights:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openstack_command() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(3)?;
    let cli = Cli { product: &world.product, cloud: "demo" };

    let lb = cli.json("create --name web --vip-subnet-id private-subnet --wait")?;
    ensure!(lb["provisioning_status"] == "ACTIVE", "{lb}");
    let vip = octavia_testkit::rest::text(&lb["vip_address"])?;

    let listener =
        cli.json(&format!("listener create --name front --protocol HTTP --protocol-port {PORT} --wait web"))?;
    ensure!(listener["provisioning_status"] == "ACTIVE", "{listener}");
    cli.json("pool create --name back --listener front --protocol HTTP --lb-algorithm ROUND_ROBIN --wait")?;
    cli.json(
        "healthmonitor create --name check --type HTTP --url-path /health --delay 1 --timeout 1 --max-retries 2 \
         --wait back",
    )?;
    for (origin, weight) in origins.iter().zip([2, 1, 1]) {
        let address = origin.address();
        cli.json(&format!(
            "member create --name {} --address {} --protocol-port {} --weight {weight} --wait back",
            origin.id(),
            address.ip(),
            address.port()
        ))?;
    }
    let ids: Vec<&str> = origins.iter().map(Origin::id).collect();
    wait_online(&world, &lb).await?;
    check_shares(&curl(&vip, 120)?, &[(ids[0], 2), (ids[1], 1), (ids[2], 1)])?;

    cli.run(&format!("member set --weight 6 --wait back {}", ids[2]))?;
    let member = cli.json(&format!("member show back {}", ids[2]))?;
    ensure!(member["weight"] == 6, "{member}");
    check_shares(&curl(&vip, 180)?, &[(ids[0], 2), (ids[1], 1), (ids[2], 6)])?;
    cli.run(&format!("member set --weight 0 --wait back {}", ids[0]))?;
    let shares = curl(&vip, 70)?;
    ensure!(!shares.contains_key(ids[0]), "a drained member got requests: {shares:?}");

    let lists =
        [("list", "web"), ("listener list", "front"), ("pool list", "back"), ("healthmonitor list", "check")];
    for (list, name) in lists {
        let rows = cli.json(list)?;
        ensure!(rows[0]["name"] == name && rows[1].is_null(), "{list}: {rows}");
    }
    ensure!(cli.json("member list back")?.as_array().is_some_and(|rows| rows.len() == 3));

    let tree: Value = serde_json::from_str(&cli.run("status show web")?)?;
    let tree = &tree["loadbalancer"];
    ensure!(tree["operating_status"] == "ONLINE", "{tree}");
    ensure!(
        tree["listeners"][0]["pools"][0]["members"].as_array().is_some_and(|all| all.len() == 3),
        "{tree}"
    );

    octavia_testkit::wait_for("statistics", crate::world::LIMIT, async || {
        let stats = cli.json("stats show web").map_err(|error| format!("{error:#}"))?;
        let count =
            |key: &str| stats[key].as_u64().or_else(|| stats[key].as_str()?.parse().ok()).unwrap_or(0);
        let good = count("total_connections") >= 370 && count("bytes_out") > 0 && count("bytes_in") > 0;
        if good { Ok(()) } else { Err(stats.to_string()) }
    })
    .await?;

    cli.run("delete --cascade --wait web")?;
    ensure!(cli.json("list")?.as_array().is_some_and(Vec::is_empty));
    ensure!(cli.run("show web").is_err(), "it is still shown");
    ensure!(curl(&vip, 1).is_err(), "the VIP still answers");
    Ok(())
}

async fn wait_online(world: &World, lb: &Value) -> Result<()> {
    let id = octavia_testkit::rest::text(&lb["id"])?;
    let online = |tree: &Value| {
        let members = tree["listeners"][0]["pools"][0]["members"].as_array();
        members.is_some_and(|all| all.len() == 3 && all.iter().all(|m| m["operating_status"] == "ONLINE"))
    };
    world.rest.lb_status_wait(&id, "all members ONLINE", crate::world::LIMIT, online).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_administrators_offer_users_choose() -> Result<()> {
    let world = World::start().await?;
    let admin = Cli { product: &world.product, cloud: "admin" };
    let user = Cli { product: &world.product, cloud: "demo" };

    let capabilities = admin.json("provider capability list amphora")?;
    ensure!(capabilities.as_array().is_some_and(|rows| rows.len() == 9), "{capabilities}");
    let topology = r#"{"loadbalancer_topology":"SINGLE"}"#;
    admin.run(&format!("flavorprofile create --name single --provider amphora --flavor-data {topology}"))?;
    let flavor = admin.json("flavor create --name small --flavorprofile single --enable")?;
    admin.run("availabilityzoneprofile create --name open --provider amphora --availability-zone-data {}")?;
    admin.run("availabilityzone create --name here --availabilityzoneprofile open --enable")?;
    ensure!(user.run("flavor create --name own --flavorprofile single").is_err(), "a user made a flavor");

    ensure!(user.json("flavor list")?[0]["id"] == flavor["id"]);
    ensure!(user.json("availabilityzone list")?[0]["name"] == "here");
    let lb = user.json(
        "create --name web --vip-subnet-id private-subnet --flavor small --availability-zone here --wait",
    )?;
    ensure!(lb["flavor_id"] == flavor["id"] && lb["availability_zone"] == "here", "{lb}");
    ensure!(admin.run("flavor delete small").is_err(), "a flavor went that is in use");

    user.run("delete --wait web")?;
    for words in [
        "flavor delete small",
        "flavorprofile delete single",
        "availabilityzone delete here",
        "availabilityzoneprofile delete open",
    ] {
        admin.run(words)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_rules_of_layer_7() -> Result<()> {
    let world = World::start().await?;
    let cli = Cli { product: &world.product, cloud: "demo" };
    cli.run("create --name web --vip-subnet-id private-subnet --wait")?;
    cli.run(&format!("listener create --name front --protocol HTTP --protocol-port {PORT} --wait web"))?;
    cli.run("pool create --name back --loadbalancer web --protocol HTTP --lb-algorithm ROUND_ROBIN --wait")?;

    let prefix = "--action REDIRECT_PREFIX --redirect-prefix https://www.example.com/";
    let moved = cli.json(&format!("l7policy create --name moved {prefix} --wait front"))?;
    ensure!(moved["provisioning_status"] == "ACTIVE" && moved["redirect_http_code"] == 302, "{moved}");
    let pool = "--action REDIRECT_TO_POOL --redirect-pool back --position 1";
    cli.run(&format!("l7policy create --name images {pool} --wait front"))?;
    let policies = cli.json("l7policy list --sort-column position")?;
    let position = |name: &str| {
        let rows = policies.as_array().into_iter().flatten();
        rows.into_iter().find(|row| row["name"] == name).map(|row| row["position"].clone())
    };
    ensure!(position("images") == Some(1.into()) && position("moved") == Some(2.into()), "{policies}");

    let header = "--type HEADER --key X-Test --compare-type REGEX --value ^a+$ --invert";
    let rule = cli.json(&format!("l7rule create {header} --wait images"))?;
    ensure!(rule["provisioning_status"] == "ACTIVE" && rule["invert"] == true, "{rule}");
    let rule = octavia_testkit::rest::text(&rule["id"])?;
    cli.run(&format!("l7rule set --value ^b+$ --wait images {rule}"))?;
    cli.run(&format!("l7rule unset --invert --wait images {rule}"))?;
    let shown = cli.json(&format!("l7rule show images {rule}"))?;
    ensure!(shown["value"] == "^b+$" && shown["invert"] == false && shown["key"] == "X-Test", "{shown}");
    ensure!(cli.run("l7rule create --type HEADER --compare-type REGEX --value ( images").is_err());

    ensure!(cli.run("pool delete back").is_err(), "a pool went that a policy leads to");
    cli.run("l7policy set --action REJECT --wait images")?;
    cli.run("pool delete --wait back")?;
    cli.run(&format!("l7rule delete --wait images {rule}"))?;
    cli.run("l7policy delete --wait images")?;
    ensure!(cli.json("l7policy show moved")?["position"] == 1);
    cli.run("delete --cascade --wait web")?;
    ensure!(cli.json("l7policy list")?.as_array().is_some_and(Vec::is_empty));
    Ok(())
}

/// All commands of the plugin, with the answers they are to give; and the page that says so.
#[tokio::test(flavor = "multi_thread")]
async fn every_command() -> Result<()> {
    let world = World::start_noop().await?;
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/commands.txt");
    let judge = |option: Option<&str>| {
        let python = venv_program("python")?;
        let mut command = cloud_command(&python, &world.product);
        command.env("OS_CLOUD", "admin").arg(cases.replace(".txt", ".py")).arg(cases).args(option);
        command.output().context("python")
    };
    let judged = judge(None)?;
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&judged.stderr).into_owned();
    eprintln!("{said}");
    ensure!(judged.status.success(), "{said}{trouble}");

    let table = String::from_utf8(judge(Some("--table"))?.stdout)?;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page, &table)?;
    }
    ensure!(
        std::fs::read_to_string(page)? == table,
        "docs/commands.md is old: run this test with UPDATE_DOCS=1"
    );
    Ok(())
}
