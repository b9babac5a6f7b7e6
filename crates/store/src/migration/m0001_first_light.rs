//! The first schema. Layer 7, flavors, availability zones and quotas were laid out in it before anything wrote them.

use async_trait::async_trait;
use sea_orm_migration::prelude::{
    ColumnDef, DbErr, ForeignKeyAction, MigrationName, MigrationTrait, SchemaManager, Table as Statement,
};

use super::table::{
    Table, flag, id, id_null, long, long_null, number, number_null, resource, serial, state, text, text_null,
    word,
};

#[derive(Debug)]
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "0001_first_light"
    }
}

#[async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut tables = vec![];
        tables.extend(catalogue());
        tables.extend(roots());
        tables.extend(children());
        tables.extend(layer7());
        tables.extend(records());
        super::create(manager, tables).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.drop_table(Statement::drop().table(*table).take()).await?;
        }
        Ok(())
    }
}

/// Children before parents.
pub(super) const TABLES: &[&str] = &[
    "l7rule",
    "l7policy",
    "listener_statistics",
    "health_monitor",
    "member",
    "listener",
    "pool",
    "amphora",
    "vip_security_group",
    "tag",
    "operation",
    "outbox",
    "load_balancer",
    "quota",
    "flavor",
    "flavor_profile",
    "availability_zone",
    "availability_zone_profile",
];

fn catalogue() -> Vec<Table> {
    let named = || vec![text("name", 255), text("provider_name", 255)];
    vec![
        Table::new("flavor_profile")
            .columns([id("id")])
            .columns(named())
            .columns([long("flavor_data")])
            .key(&["id"]),
        Table::new("flavor")
            .columns([id("id"), text("name", 255), text("description", 255), flag("enabled")])
            .columns([id("flavor_profile_id")])
            .key(&["id"])
            .refers("flavor_profile_id", "flavor_profile", "id", ForeignKeyAction::Restrict)
            .unique("uq_flavor_name", &["name"]),
        Table::new("availability_zone_profile")
            .columns([id("id")])
            .columns(named())
            .columns([long("availability_zone_data")])
            .key(&["id"]),
        Table::new("availability_zone")
            .columns([text("name", 255), text("description", 255), flag("enabled")])
            .columns([id("availability_zone_profile_id")])
            .key(&["name"])
            .refers(
                "availability_zone_profile_id",
                "availability_zone_profile",
                "id",
                ForeignKeyAction::Restrict,
            ),
        // Limits: null = the configured default, -1 = none.
        Table::new("quota").columns([text("project_id", 36)]).columns(quota_columns()).key(&["project_id"]),
    ]
}

fn quota_columns() -> Vec<ColumnDef> {
    let limits = ["load_balancer", "listener", "pool", "member", "health_monitor", "l7policy", "l7rule"];
    let in_use = [
        "in_use_load_balancer",
        "in_use_listener",
        "in_use_pool",
        "in_use_member",
        "in_use_health_monitor",
        "in_use_l7policy",
        "in_use_l7rule",
    ];
    limits.map(number_null).into_iter().chain(in_use.map(|name| number(name).default(0).take())).collect()
}

fn roots() -> Vec<Table> {
    vec![
        Table::new("load_balancer")
            .columns(resource())
            .columns([
                text("description", 255),
                text("vip_address", 64),
                id("vip_subnet_id"),
                id("vip_network_id"),
                id("vip_port_id"),
                id_null("vip_qos_policy_id"),
                long("vip_sg_ids"),
                word("vip_vnic_type"),
                flag("vip_owned"),
                long("additional_vips"),
                text("provider", 64),
                id_null("flavor_id"),
                text_null("availability_zone", 255),
                word("topology"),
                number("generation"),
                number("applied_generation"),
            ])
            .columns(state())
            .columns([
                flag("deleting"),
                number_null("pending_since"),
                number_null("next_attempt_at"),
                number("attempts"),
                long_null("last_error"),
                id_null("lease_owner"),
                number_null("lease_until"),
                number("lease_epoch"),
                number("wakes"),
            ])
            .key(&["id"])
            .index("ix_load_balancer_created", &["created_at", "id"])
            .index("ix_load_balancer_project", &["project_id", "created_at", "id"])
            .index("ix_load_balancer_name", &["name"])
            .index("ix_load_balancer_status", &["provisioning_status", "updated_at"])
            .index("ix_load_balancer_vip_address", &["vip_address"])
            .index("ix_load_balancer_vip_port", &["vip_port_id"])
            .index("ix_load_balancer_due", &["lease_until", "next_attempt_at"])
            .index("ix_load_balancer_pending", &["pending_since"]),
        Table::new("vip_security_group")
            .columns([id("load_balancer_id"), text("sg_id", 64)])
            .key(&["load_balancer_id", "sg_id"])
            .refers("load_balancer_id", "load_balancer", "id", ForeignKeyAction::Cascade)
            .index("ix_vip_security_group_sg", &["sg_id"]),
        Table::new("tag")
            .columns([id("resource_id"), text("tag", 255), id("load_balancer_id")])
            .key(&["resource_id", "tag"])
            .refers("load_balancer_id", "load_balancer", "id", ForeignKeyAction::Cascade)
            .index("ix_tag_tag", &["tag"])
            .index("ix_tag_load_balancer", &["load_balancer_id"]),
        Table::new("amphora")
            .columns([
                id("id"),
                id_null("load_balancer_id"),
                word("status"),
                text_null("role", 32),
                text_null("compute_id", 255),
                text_null("lb_network_ip", 64),
                text_null("vrrp_ip", 64),
                text_null("ha_ip", 64),
                id_null("vrrp_port_id"),
                id_null("ha_port_id"),
                text_null("vrrp_interface", 16),
                number_null("vrrp_id"),
                number_null("vrrp_priority"),
                number_null("cert_expiration"),
                text_null("cached_zone", 255),
                id_null("image_id"),
                text_null("compute_flavor", 255),
                number("applied_generation"),
                number_null("last_heartbeat_at"),
                number("created_at"),
                number_null("updated_at"),
                number_null("beat_seq"),
                number_null("beat_at"),
                id_null("boot"),
                id_null("previous_boot"),
            ])
            .key(&["id"])
            .refers("load_balancer_id", "load_balancer", "id", ForeignKeyAction::SetNull)
            .index("ix_amphora_created", &["created_at", "id"])
            .index("ix_amphora_load_balancer", &["load_balancer_id"])
            .index("ix_amphora_silent", &["status", "last_heartbeat_at"]),
    ]
}

fn children() -> Vec<Table> {
    let parent = || [id("load_balancer_id")];
    let tls = || [text_null("tls_ciphers", 2048), long_null("tls_versions"), long_null("alpn_protocols")];
    vec![
        Table::new("pool")
            .columns(resource())
            .columns(parent())
            .columns([
                text("description", 255),
                word("protocol"),
                word("lb_algorithm"),
                text_null("persistence_type", 32),
                text_null("persistence_cookie_name", 255),
                number_null("persistence_timeout"),
                text_null("persistence_granularity", 64),
                flag("tls_enabled"),
                text_null("tls_container_ref", 255),
                text_null("ca_tls_container_ref", 255),
                text_null("crl_container_ref", 255),
            ])
            .columns(tls())
            .columns(state())
            .key(&["id"])
            .refers("load_balancer_id", "load_balancer", "id", ForeignKeyAction::Cascade)
            .index("ix_pool_load_balancer", &["load_balancer_id"])
            .index("ix_pool_created", &["created_at", "id"])
            .index("ix_pool_project", &["project_id", "created_at", "id"])
            .index("ix_pool_name", &["name"]),
        Table::new("listener")
            .columns(resource())
            .columns(parent())
            .columns([
                text("description", 255),
                word("protocol"),
                word("transport"),
                number("protocol_port"),
                number_null("connection_limit"),
                id_null("default_pool_id"),
                long("insert_headers"),
                number("timeout_client_data"),
                number("timeout_member_connect"),
                number("timeout_member_data"),
                number("timeout_tcp_inspect"),
                long_null("allowed_cidrs"),
                text_null("default_tls_container_ref", 255),
                long("sni_container_refs"),
                text_null("client_ca_tls_container_ref", 255),
                text_null("client_crl_container_ref", 255),
                word("client_authentication"),
                number_null("hsts_max_age"),
                flag("hsts_include_subdomains"),
                flag("hsts_preload"),
            ])
            .columns(tls())
            .columns(state())
            .key(&["id"])
            .refers("load_balancer_id", "load_balancer", "id", ForeignKeyAction::Cascade)
            .refers("default_pool_id", "pool", "id", ForeignKeyAction::Restrict)
            .unique("uq_listener_port", &["load_balancer_id", "transport", "protocol_port"])
            .index("ix_listener_default_pool", &["default_pool_id"])
            .index("ix_listener_created", &["created_at", "id"])
            .index("ix_listener_project", &["project_id", "created_at", "id"])
            .index("ix_listener_name", &["name"]),
        Table::new("member")
            .columns(resource())
            .columns(parent())
            .columns([
                id("pool_id"),
                text("address", 64),
                number("protocol_port"),
                number_null("weight"),
                flag("backup"),
                id_null("subnet_id"),
                text_null("monitor_address", 64),
                number_null("monitor_port"),
                word("vnic_type"),
            ])
            .columns(state())
            .key(&["id"])
            .refers("load_balancer_id", "load_balancer", "id", ForeignKeyAction::Cascade)
            .refers("pool_id", "pool", "id", ForeignKeyAction::Restrict)
            .unique("uq_member_address", &["pool_id", "address", "protocol_port"])
            .index("ix_member_load_balancer", &["load_balancer_id"])
            .index("ix_member_pool", &["pool_id", "created_at", "id"]),
        Table::new("health_monitor")
            .columns(resource())
            .columns(parent())
            .columns([
                id("pool_id"),
                word("type"),
                number("delay"),
                number("timeout"),
                number("max_retries"),
                number("max_retries_down"),
                text_null("http_method", 16),
                text_null("url_path", 2048),
                text_null("expected_codes", 64),
                number_null("http_version_tenths"),
                text_null("domain_name", 255),
            ])
            .columns(state())
            .key(&["id"])
            .refers("load_balancer_id", "load_balancer", "id", ForeignKeyAction::Cascade)
            .refers("pool_id", "pool", "id", ForeignKeyAction::Restrict)
            .unique("uq_health_monitor_pool", &["pool_id"])
            .index("ix_health_monitor_load_balancer", &["load_balancer_id"])
            .index("ix_health_monitor_created", &["created_at", "id"])
            .index("ix_health_monitor_project", &["project_id", "created_at", "id"]),
        Table::new("listener_statistics")
            .columns([
                id("listener_id"),
                id("amphora_id"),
                id("load_balancer_id"),
                id_null("boot"),
                number("base_bytes_in"),
                number("base_bytes_out"),
                number("base_total_connections"),
                number("base_request_errors"),
                number("bytes_in"),
                number("bytes_out"),
                number("total_connections"),
                number("request_errors"),
                number("active_connections"),
            ])
            .key(&["listener_id", "amphora_id"])
            .index("ix_listener_statistics_amphora", &["amphora_id"])
            .index("ix_listener_statistics_load_balancer", &["load_balancer_id"]),
    ]
}

fn layer7() -> Vec<Table> {
    vec![
        Table::new("l7policy")
            .columns(resource())
            .columns([
                text("description", 255),
                id("load_balancer_id"),
                id("listener_id"),
                word("action"),
                id_null("redirect_pool_id"),
                text_null("redirect_url", 255),
                text_null("redirect_prefix", 255),
                number_null("redirect_http_code"),
                number("position"),
            ])
            .columns(state())
            .key(&["id"])
            .refers("load_balancer_id", "load_balancer", "id", ForeignKeyAction::Cascade)
            .refers("listener_id", "listener", "id", ForeignKeyAction::Restrict)
            .refers("redirect_pool_id", "pool", "id", ForeignKeyAction::Restrict)
            .index("ix_l7policy_load_balancer", &["load_balancer_id"])
            .index("ix_l7policy_listener", &["listener_id", "position"])
            .index("ix_l7policy_redirect_pool", &["redirect_pool_id"]),
        Table::new("l7rule")
            .columns(resource())
            .columns([
                id("load_balancer_id"),
                id("l7policy_id"),
                word("type"),
                word("compare_type"),
                text_null("key", 255),
                text("value", 255),
                flag("invert"),
            ])
            .columns(state())
            .key(&["id"])
            .refers("load_balancer_id", "load_balancer", "id", ForeignKeyAction::Cascade)
            .refers("l7policy_id", "l7policy", "id", ForeignKeyAction::Restrict)
            .index("ix_l7rule_load_balancer", &["load_balancer_id"])
            .index("ix_l7rule_policy", &["l7policy_id"]),
    ]
}

/// Nothing here refers to a load balancer's row: what was is told even when it is purged.
fn records() -> Vec<Table> {
    vec![
        Table::new("operation")
            .columns([
                id("id"),
                id("load_balancer_id"),
                id_null("amphora_id"),
                id("worker_id"),
                text("kind", 64),
                number("generation"),
                number("started_at"),
                number_null("finished_at"),
                long_null("error"),
            ])
            .key(&["id"])
            .index("ix_operation_load_balancer", &["load_balancer_id", "started_at"])
            .index("ix_operation_started", &["started_at"]),
        Table::new("outbox")
            .columns([
                serial("id"),
                id("load_balancer_id"),
                text("project_id", 36),
                text("event", 64),
                number("generation"),
                number("created_at"),
            ])
            .index("ix_outbox_created", &["created_at"]),
    ]
}
