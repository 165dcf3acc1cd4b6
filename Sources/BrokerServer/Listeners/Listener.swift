internal import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// An address the server listens on, with the port it really got.
public struct BoundListener: Sendable, Equatable {
    /// The address as it was asked for, without port.
    public let host: String
    /// The port.
    public let port: Int
    /// Whether TLS is spoken there.
    public let isTLS: Bool

    /// Where a client connects: `amqp://127.0.0.1:5672`.
    public var url: String {
        let host = ListenAddress(host: self.host).urlHost
        return "\(self.isTLS ? "amqps" : "amqp")://\(host):\(self.port)"
    }
}

/// Opens listening sockets and hands what they accept to the loops in turn.
struct ListenerFactory {
    let shards: ShardDirectory
    let logger: Logger
    let tls: NIOSSLContext?

    /// A socket that listens.
    typealias Open = (channel: any Channel, listener: BoundListener)

    /// Listens on all addresses; closes those already open when one fails.
    ///
    /// With port 0 the system chooses a port on the first address and the others take the same. If that is taken on one
    /// of them, another is tried, and after ``ServerLimits/portAttempts`` addresses that are not required are left out.
    func open(_ addresses: [ListenAddress], port: UInt16) async throws(StartFailure) -> [Open] {
        for attempt in 1...ServerLimits.portAttempts {
            let isLastAttempt = attempt == ServerLimits.portAttempts
            var opened: [Open] = []
            var chosenPort: Int?
            var mustRetry = false
            for address in addresses {
                let wanted = Int(address.port ?? port)
                do {
                    let open = try await self.open(
                        address,
                        port: wanted == 0 ? chosenPort ?? 0 : wanted,
                        isIPv6Only: addresses.contains { !$0.isIPv6 }
                    )
                    if wanted == 0 { chosenPort = open.listener.port }
                    opened.append(open)
                } catch let failure as BindFailure {
                    if failure.isMissing, !address.isRequired {
                        self.logger.debug("not listening on \(address): \(failure.reason)")
                    } else if failure.isTaken, wanted == 0, chosenPort != nil, !isLastAttempt {
                        mustRetry = true
                    } else if failure.isTaken, wanted == 0, chosenPort != nil, !address.isRequired {
                        self.logger.info("not listening on \(address): no port is free on every address")
                    } else {
                        await self.close(opened)
                        throw StartFailure("cannot listen on \(failure.address): \(failure.reason)")
                    }
                } catch {
                    await self.close(opened)
                    throw StartFailure("cannot listen on \(address): \(error)")
                }
                if mustRetry { break }
            }
            if !mustRetry {
                guard !opened.isEmpty else { throw StartFailure("there is no address to listen on") }
                return opened
            }
            await self.close(opened)
        }
        throw StartFailure("no port is free on every listen address")
    }

    private func close(_ opened: [Open]) async {
        for open in opened {
            try? await open.channel.close().get()
        }
    }

    private func open(_ address: ListenAddress, port: Int, isIPv6Only: Bool) async throws -> Open {
        let name = ListenAddress(host: address.host, port: UInt16(port)).description
        let socketAddress: SocketAddress
        do {
            // Host names are resolved here, which may block; only at the start, before there is any traffic.
            socketAddress = try .makeAddressResolvingHost(address.host, port: port)
        } catch {
            throw BindFailure(address: name, reason: "unknown host", code: nil)
        }
        do {
            let channel = try await self.bootstrap(socketAddress, isIPv6Only: isIPv6Only).bind(to: socketAddress).get()
            let listener = BoundListener(
                host: address.host,
                port: channel.localAddress?.port ?? port,
                isTLS: self.tls != nil
            )
            return (channel, listener)
        } catch let error as IOError {
            throw BindFailure(address: name, reason: Platform.message(error.errnoCode), code: error.errnoCode)
        }
    }

    private func bootstrap(_ address: SocketAddress, isIPv6Only: Bool) -> ServerBootstrap {
        let shards = self.shards
        let tls = self.tls
        let logger = self.logger
        // The loops take connections in turn: nobody else asks the group for its next loop.
        var bootstrap = ServerBootstrap(group: shards.group.any(), childGroup: shards.group)
            .serverChannelOption(.backlog, value: ServerLimits.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: ServerLimits.acceptsPerRead)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause(logger: logger))
                }
            }
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try shards.adopt(channel, tls: tls)
                }
            }
        if address.protocol == .inet6, isIPv6Only {
            // Otherwise `::` would take the IPv4 addresses with it, and listening on one of them would fail.
            bootstrap = bootstrap.serverChannelOption(
                ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only),
                value: 1
            )
        }
        return bootstrap
    }
}

/// Why a socket could not be bound.
private struct BindFailure: Error {
    let address: String
    let reason: String
    let code: CInt?

    var isMissing: Bool { self.code.map(Platform.isMissingAddress) ?? false }
    var isTaken: Bool { self.code.map(Platform.isTaken) ?? false }
}
