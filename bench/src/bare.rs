//! What OpenSSL can do: a loop that accepts connections, shakes hands with one pre-shared key for everyone, and waits
//! for the client's end. Same cipher, group and runtime as our server, and nothing else of it.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result};
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

/// Everybody's key.
pub(crate) const KEY: [u8; 32] = [7; 32];
/// As our server's listener.
const BACKLOG: u32 = 4_096;

/// The loop's process: prints its address and serves until its standard input ends or it is stopped.
pub(crate) fn serve() -> Result<()> {
    let context = Arc::new(context()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener: TcpListener = socket.listen(BACKLOG)?;
        println!("{}", serde_json::json!({ "address": listener.local_addr()? }));
        loop {
            let (stream, _) = listener.accept().await?;
            let context = Arc::clone(&context);
            tokio::spawn(async move {
                // A failed handshake shows on the client's side.
                let _ = connection(&context, stream).await;
            });
        }
    })
}

async fn connection(context: &SslContext, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = SslStream::new(Ssl::new(context)?, stream)?;
    Pin::new(&mut stream).accept().await?;
    while stream.read(&mut [0; 1_024]).await? > 0 {}
    stream.shutdown().await.context("the client is gone")
}

fn context() -> Result<SslContext> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_ciphersuites("TLS_AES_128_GCM_SHA256")?;
    builder.set_groups_list("X25519:P-256")?;
    builder.set_num_tickets(0)?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_psk_server_callback(|_, _identity, out| {
        let Some(out) = out.get_mut(..KEY.len()) else { return Ok(0) };
        out.copy_from_slice(&KEY);
        Ok(KEY.len())
    });
    Ok(builder.build())
}
