use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::{Common, Filters, OPERATING, PROVISIONING, Wait, one_of, upper};
use crate::populated::{ListenerSpec, MemberSpec, MonitorSpec};

#[derive(Debug, Subcommand)]
pub enum LbCommand {
    /// Make a load balancer, with listeners and members at once if given
    Create(Box<LbCreate>),
    /// List load balancers
    List(LbList),
    /// Show one
    Show {
        /// Name or id
        #[arg(value_name = "LB")]
        lb: String,
    },
    /// Change attributes
    Set(LbSet),
    /// Delete one or more
    Delete(LbDelete),
    /// Statuses of everything below it, as a tree
    Status {
        /// Name or id
        #[arg(value_name = "LB")]
        lb: String,
    },
    /// Traffic so far
    Stats {
        /// Name or id
        #[arg(value_name = "LB")]
        lb: String,
    },
    /// Replace its amphorae
    Failover {
        /// Name or id
        #[arg(value_name = "LB")]
        lb: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// What the service's workers did for it and are doing, the newest first
    Operations {
        /// Name or id
        #[arg(value_name = "LB")]
        lb: String,
        /// How many at most
        #[arg(long, allow_negative_numbers = true, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
        limit: u16,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("vip").required(true).multiple(true).args(["vip_subnet_id", "vip_network_id", "vip_port_id"])))]
pub struct LbCreate {
    #[command(flatten)]
    pub(crate) common: Common,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Subnet of the VIP (name or id)
    #[arg(long, value_name = "SUBNET")]
    pub(crate) vip_subnet_id: Option<String>,
    /// Network of the VIP (name or id)
    #[arg(long, value_name = "NETWORK")]
    pub(crate) vip_network_id: Option<String>,
    /// Port that is the VIP (name or id)
    #[arg(long, value_name = "PORT")]
    pub(crate) vip_port_id: Option<String>,
    /// Address of the VIP; a free one if not given
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) vip_address: Option<IpAddr>,
    /// Who implements it; the service's default if not given
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// A flavor (name or id)
    #[arg(long)]
    pub(crate) flavor: Option<String>,
    /// Name of an availability zone
    #[arg(long, value_name = "ZONE")]
    pub(crate) availability_zone: Option<String>,
    /// Id of the project it shall belong to (for administrators)
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// Also make a listener, such as HTTP:80; repeat for more
    #[arg(long = "listener", value_name = "PROTOCOL:PORT", help_heading = "Fully populated")]
    pub(crate) listeners: Vec<ListenerSpec>,
    /// Also make a member behind all listeners, such as 10.0.0.5:8080 or 10.0.0.5:8080@3 (weight 3); repeat for more
    #[arg(
        long = "member",
        value_name = "ADDRESS:PORT[@WEIGHT]",
        requires = "listeners",
        help_heading = "Fully populated"
    )]
    pub(crate) members: Vec<MemberSpec>,
    /// How members are chosen
    #[arg(long, value_name = "WORD", default_value = "ROUND_ROBIN", value_parser = upper, help_heading = "Fully populated")]
    pub(crate) algorithm: String,
    /// Also check the members, such as TCP or HTTP,path=/health,delay=5,timeout=3,rise=2,fall=3
    #[arg(long, value_name = "TYPE[,…]", requires = "members", help_heading = "Fully populated")]
    pub(crate) monitor: Option<MonitorSpec>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct LbList {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// Only those with this VIP
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) vip_address: Option<IpAddr>,
    /// Only those on this point of their way
    #[arg(long, value_name = "STATUS", value_parser = one_of(PROVISIONING), ignore_case = true)]
    pub(crate) provisioning_status: Option<String>,
    /// Only those the data plane sees so
    #[arg(long, value_name = "STATUS", value_parser = one_of(OPERATING), ignore_case = true)]
    pub(crate) operating_status: Option<String>,
    /// Only those of this project (id)
    #[arg(long)]
    pub(crate) project: Option<String>,
}

#[derive(Debug, Args)]
pub struct LbSet {
    /// Name or id
    #[arg(value_name = "LB")]
    pub(crate) lb: String,
    #[command(flatten)]
    pub(crate) common: Common,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct LbDelete {
    /// Names or ids
    #[arg(value_name = "LB", required = true)]
    pub(crate) lbs: Vec<String>,
    /// Listeners, pools and everything below go with it
    #[arg(long)]
    pub(crate) cascade: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}
