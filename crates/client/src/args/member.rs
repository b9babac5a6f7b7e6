use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::{Common, Filters, Wait};
use crate::populated::MemberSpec;

#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Add a member to a pool
    Create(MemberCreate),
    /// List a pool's members
    List {
        /// Pool (name or id)
        pool: String,
        #[command(flatten)]
        filters: Filters,
    },
    /// Show one
    Show {
        /// Pool (name or id)
        pool: String,
        /// Name, id or ADDRESS:PORT
        member: String,
    },
    /// Change attributes
    Set(MemberSet),
    /// Make a pool's members exactly these
    Replace(MemberReplace),
    /// Delete one or more
    Delete {
        /// Pool (name or id)
        pool: String,
        /// Names, ids or ADDRESS:PORT
        #[arg(value_name = "MEMBER", required = true)]
        members: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MemberAttributes {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Share of the traffic, 0–256; 0 drains
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(0..=256))]
    pub(crate) weight: Option<u16>,
    /// Address to check, if another than the member's
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) monitor_address: Option<IpAddr>,
    /// Port to check, if another than the member's
    #[arg(long, allow_negative_numbers = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) monitor_port: Option<u16>,
}

#[derive(Debug, Args)]
pub struct MemberCreate {
    /// Pool (name or id)
    pub(crate) pool: String,
    /// Address it serves on
    #[arg(long)]
    pub(crate) address: IpAddr,
    /// Port it serves on
    #[arg(long, allow_negative_numbers = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) protocol_port: u16,
    /// Subnet the member is on (name or id)
    #[arg(long, value_name = "SUBNET")]
    pub(crate) subnet_id: Option<String>,
    /// Takes traffic only when the others cannot
    #[arg(long)]
    pub(crate) backup: bool,
    #[command(flatten)]
    pub(crate) attributes: MemberAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct MemberSet {
    /// Pool (name or id)
    pub(crate) pool: String,
    /// Name, id or ADDRESS:PORT
    pub(crate) member: String,
    /// true: takes traffic only when the others cannot
    #[arg(long, value_name = "BOOL")]
    pub(crate) backup: Option<bool>,
    #[command(flatten)]
    pub(crate) attributes: MemberAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct MemberReplace {
    /// Pool (name or id)
    pub(crate) pool: String,
    /// The members, such as 10.0.0.5:8080 or 10.0.0.5:8080@3 (weight 3)
    #[arg(value_name = "ADDRESS:PORT[@WEIGHT]")]
    pub(crate) members: Vec<MemberSpec>,
    /// Leave other members alone
    #[arg(long)]
    pub(crate) additive: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}
