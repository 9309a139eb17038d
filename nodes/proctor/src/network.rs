//! `proctor network`: Zenoh files for a robot cart, a GPU box and a console apart, and `proctor router`, which connects them and passes on
//! what the files allow (docs/deployment.md).

mod files;

use anyhow::Context as _;
use clap::Args;
use proctor_bus::Router;
use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

/// Arguments of `proctor network`.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// Where the router is: host and port, as the machines reach it and as its certificate names it.
    #[arg(long, default_value = "router:7447")]
    router: String,
    /// Where the router listens.
    #[arg(long, default_value = "0.0.0.0:7447")]
    listen: String,
    /// Folder of the certificates on each machine, made by launch/network/certificates.sh.
    #[arg(long, default_value = "/etc/proctor/certificates")]
    certificates: PathBuf,
    /// ROS domain.
    #[arg(long, env = "ROS_DOMAIN_ID", default_value_t = 0)]
    domain: usize,
    /// Folder for router.json5 and a session file per machine; none of them may exist.
    #[arg(long)]
    out: PathBuf,
}

/// Writes the files; nothing when one of them exists.
pub fn write(args: &NetworkArgs, out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.router.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()),
        "--router is {:?}, expected HOST:PORT",
        args.router
    );
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let certificates = args.certificates.to_str().context("--certificates is no UTF-8")?;
    let plan = files::Plan { router: &args.router, listen: &args.listen, certificates, domain: args.domain };
    let files = plan.files().into_iter().map(|(name, text)| (args.out.join(name), text)).collect::<Vec<_>>();
    if let Some((file, _)) = files.iter().find(|(file, _)| file.exists()) {
        anyhow::bail!("{} exists: nothing was written", file.display());
    }
    for (file, text) in files {
        let mut new = OpenOptions::new().write(true).create_new(true).open(&file)?;
        new.write_all(text.as_bytes()).with_context(|| file.display().to_string())?;
        writeln!(out, "{}", file.display())?;
    }
    Ok(())
}

/// Runs a router until Ctrl-C.
pub fn route(file: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let router = Router::open(file)?;
    tracing::info!(id = router.id(), file = %file.display(), "routing");
    runtime.block_on(tokio::signal::ctrl_c())?;
    drop(router);
    Ok(())
}
