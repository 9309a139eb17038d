//! The HTTP server. Whoever has no session gets the log-in page and nothing else.

mod bounded;
mod http;
mod socket;

use crate::{ConsoleError, shared::Shared, shared::check_address};
use std::{future::Future, net::SocketAddr, sync::Arc, thread::JoinHandle};
use tokio::{net::TcpListener, sync::oneshot};

/// Serves the console on `listener` until `stop` is ready. Refuses an address that other machines reach unless the
/// parameters allow it.
pub async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ConsoleError> {
    let address = listener.local_addr()?;
    check_address(shared.params(), address.ip())?;
    let app = http::router(shared, address).into_make_service_with_connect_info::<bounded::Peer>();
    axum::serve(bounded::Bounded::new(listener), app).with_graceful_shutdown(stop).await?;
    Ok(())
}

/// A console served from its own thread; dropping it stops it.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `address` (port 0: any free port) and serves from a thread named `console-http`.
    pub fn start(address: SocketAddr, shared: Arc<Shared>) -> Result<Self, ConsoleError> {
        Self::start_with(address, shared, || ())
    }

    /// As [`Server::start`]; `first` runs in the server's thread before it serves, for its scheduling.
    pub fn start_with(
        address: SocketAddr,
        shared: Arc<Shared>,
        first: impl FnOnce() + Send + 'static,
    ) -> Result<Self, ConsoleError> {
        check_address(shared.params(), address.ip())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener =
            std::net::TcpListener::bind(address).map_err(|source| ConsoleError::Listen { address, source })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("console-http".to_owned()).spawn(move || {
            first();
            let gone = async move {
                // An error means that the sender was dropped, which is a stop too.
                let _ = stopped.await;
            };
            let served = runtime.block_on(async {
                let (begin, begun) = oneshot::channel::<()>();
                let stop = async move {
                    gone.await;
                    let _ = begin.send(());
                };
                // Open WebSockets never end by themselves: stop accepting, then leave them.
                let listener = TcpListener::from_std(listener)?;
                tokio::select! {
                    served = serve(listener, shared, stop) => served,
                    Ok(()) = begun => Ok(()),
                }
            });
            if let Err(error) = served {
                tracing::error!(%error, "console server ended");
            }
            runtime.shutdown_background();
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to type into a browser.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread was reported by that thread.
            let _ = thread.join();
        }
    }
}
