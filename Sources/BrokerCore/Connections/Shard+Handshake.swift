internal import AMQPProtocol

/// From the protocol header to `connection.open-ok`, and the connection's own methods after that.
///
/// What goes wrong before `connection.open` is answered as RabbitMQ does: with silence and a closed socket, but for
/// refused logins and virtual hosts.
extension Shard {
    private static let protocolHeader: [UInt8] = [65, 77, 81, 80, 0, 0, 9, 1]

    /// The version `connection.start` names for a header; nil for one that is not served.
    ///
    /// Headers of 0-9 and 0-8 are taken as RabbitMQ takes them; the former is spoken as 0-9-1.
    private static func version(_ header: [UInt8]) -> (major: UInt8, minor: UInt8)? {
        switch header {
        case Self.protocolHeader, [65, 77, 81, 80, 1, 1, 0, 9]: (0, 9)
        case [65, 77, 81, 80, 1, 1, 8, 0], [65, 77, 81, 80, 1, 1, 9, 1]: (8, 0)
        default: nil
        }
    }

    /// The first eight octets.
    func receiveProtocolHeader(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ header: UnsafeRawBufferPointer
    ) {
        let octets = Array(header)
        guard let version = Self.version(octets) else {
            if octets.starts(with: Array("GET ".utf8)) {
                self.log(.warning, "connection", "HTTP request on the AMQP port from \(self.describe(connection))")
            } else if octets.starts(with: [0x16, 0x03]) {
                self.log(.warning, "connection", "TLS client on the plain AMQP port from \(self.describe(connection))")
            } else {
                self.log(.warning, "connection", "bad protocol header from \(self.describe(connection))")
            }
            let base = self.reserve(connection, 8)
            base.copyMemory(from: Self.protocolHeader, byteCount: 8)
            self.commit(connection, 8)
            connection.pointee.phase = .refused
            self.effects.append(.close(connection.pointee.id, afterMilliseconds: 0))
            return
        }
        connection.pointee.phase = .awaitingStartOk
        connection.pointee.speaksVersion08 = version.major == 8
        self.sendMethod(
            ConnectionStart(
                versionMajor: version.major,
                versionMinor: version.minor,
                serverProperties: self.serverProperties(connection),
                mechanisms: Array("PLAIN AMQPLAIN".utf8),
                locales: Array("en_US".utf8)
            ),
            connection,
            channel: 0
        )
    }

    private func serverProperties(_ connection: UnsafeMutablePointer<ConnectionState>) -> FieldTable {
        let capabilities: [ShortString] =
            connection.pointee.speaksVersion08
            ? []
            : [
                "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
                "connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos",
                "direct_reply_to",
            ]
        func text(_ string: String) -> FieldValue { .longString(Array(string.utf8)) }
        return FieldTable([
            ("capabilities", .table(FieldTable(capabilities.map { ($0, .boolean(true)) }))),
            ("cluster_name", text(self.settings.clusterName)),
            ("copyright", text("Copyright (c) 2026 the Martlet authors.")),
            ("information", text("Licensed under the Apache License 2.0.")),
            ("platform", text("Swift")),
            ("product", text("Martlet")),
            ("version", text(self.settings.version)),
        ])
    }

    /// Stops listening to a client that broke the handshake; its socket is closed after a while.
    func refuse(_ connection: UnsafeMutablePointer<ConnectionState>, _ reason: String) {
        guard connection.pointee.phase != .refused else { return }
        self.log(.error, "connection", "closing AMQP connection (\(self.describe(connection))): \(reason)")
        connection.pointee.phase = .refused
        connection.pointee.carry = []
        self.effects.append(
            .close(connection.pointee.id, afterMilliseconds: self.settings.refusalDelayMilliseconds)
        )
    }

    /// Closes the socket at once without a method, as RabbitMQ does for what its decoder cannot take.
    func dropConnection(_ connection: UnsafeMutablePointer<ConnectionState>, _ reason: String) {
        self.log(.error, "connection", "closing AMQP connection (\(self.describe(connection))): \(reason)")
        connection.pointee.phase = .refused
        self.effects.append(.close(connection.pointee.id, afterMilliseconds: 0))
    }

    /// A method on channel 0.
    func receiveConnectionMethod(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ payload: UnsafeRawBufferPointer
    ) {
        let isRunning = connection.pointee.phase == .running
        // Shorter ones have been refused.
        guard payload.count >= 4 else { return }
        var reader = WireReader(payload)
        let method: Method
        let noMethod = MethodID(classID: 0, methodID: 0)
        var id = noMethod
        do throws(DecodeError) {
            id = MethodID(classID: try reader.readUInt16(), methodID: try reader.readUInt16())
            method = try self.decode(id, &reader, payload, connection)
        } catch {
            switch error {
            case .unknownMethod, .unknownFieldType, .malformedTable, .nestingTooDeep:
                self.dropConnection(connection, "undecodable method on channel 0: \(error)")
            case .invalidUTF8 where isRunning || connection.pointee.phase == .awaitingOpen:
                self.closeConnection(connection, .frameError, "Malformed UTF-8 in shortstr", id)
            case .truncated, .trailingBytes, .malformedProperties, .invalidUTF8:
                if isRunning {
                    self.closeConnection(connection, .internalError, "", noMethod)
                } else {
                    self.refuse(connection, "undecodable method on channel 0: \(error)")
                }
            }
            return
        }
        switch (method, connection.pointee.phase) {
        case (.connectionStartOk(let method), .awaitingStartOk):
            self.receiveStartOk(connection, method)
        case (.connectionTuneOk(let method), .awaitingTuneOk):
            self.receiveTuneOk(connection, method)
        case (.connectionOpen(let method), .awaitingOpen):
            self.receiveOpen(connection, method)
        case (.connectionClose, .running):
            connection.pointee.owedCloseOks = 1
            if self.holdsFramesBack(connection) {
                connection.pointee.phase = .draining
                self.drainingConnections.append(connection.pointee.id)
            } else {
                self.beginTeardown(connection)
            }
        case (_, .awaitingOpen):
            self.closeConnection(
                connection,
                .channelError,
                "unexpected method in connection state opening",
                method.id
            )
        case (.connectionClose, _):
            self.sendCloseOk(connection)
            connection.pointee.phase = .refused
            self.effects.append(.close(connection.pointee.id, afterMilliseconds: 0))
        case (.connectionUpdateSecret, .running):
            self.sendMethod(ConnectionUpdateSecretOk(), connection, channel: 0)
        case (_, .running):
            self.closeConnection(
                connection,
                .channelError,
                "unexpected method in connection state running",
                method.id
            )
        default:
            self.refuse(connection, "\(method.id.name) out of its place in the handshake")
        }
    }

    // MARK: Login

    private func receiveStartOk(_ connection: UnsafeMutablePointer<ConnectionState>, _ method: ConnectionStartOk) {
        let properties = method.clientProperties
        if case .longString(let name)? = properties["connection_name"] {
            connection.pointee.clientName = String(decoding: name.prefix(255), as: UTF8.self)
        }
        if case .longString(let product)? = properties["product"] {
            connection.pointee.changesPrefetchWhileConsuming = product.elementsEqual("py-amqp".utf8)
        }
        if case .table(let capabilities)? = properties["capabilities"] {
            func has(_ name: ShortString) -> Bool {
                if case .bool(let value)? = capabilities[name] { return value != 0 }
                return false
            }
            connection.pointee.notifiesCancel = has("consumer_cancel_notify")
            connection.pointee.notifiesBlocked = has("connection.blocked")
            connection.pointee.closesOnAuthenticationFailure = has("authentication_failure_close")
            connection.pointee.wantsNackReason = has(Self.nackReasonCapability)
        }
        connection.pointee.mechanism = method.mechanism
        guard let credentials = Credentials(mechanism: method.mechanism, response: method.response) else {
            self.refuse(connection, "malformed response or unknown mechanism '\(method.mechanism)'")
            return
        }
        let userName = String(decoding: credentials.user, as: UTF8.self)
        let isKnown = self.authenticator.authenticate(user: credentials.user, password: credentials.password)
        let isAllowedFrom = connection.pointee.peer.isLoopback || !self.settings.loopbackUsers.contains(userName)
        guard isKnown, isAllowedFrom, let user = ShortString(credentials.user) else {
            let reason = isKnown ? "user can only connect via localhost" : "invalid credentials"
            self.log(
                .error,
                "connection",
                "\(self.describe(connection)): \(method.mechanism) login refused: user '\(userName)' - \(reason)"
            )
            self.tellLogin(connection, user: userName, refusal: reason)
            self.refuseLogin(connection, method.mechanism)
            return
        }
        connection.pointee.user = user
        self.tellLogin(connection, user: userName, refusal: nil)
        connection.pointee.phase = .awaitingTuneOk
        self.sendMethod(
            ConnectionTune(
                channelMax: self.settings.channelMax,
                frameMax: self.settings.frameMaxBytes,
                heartbeat: self.settings.heartbeatSeconds
            ),
            connection,
            channel: 0
        )
    }

    private func refuseLogin(_ connection: UnsafeMutablePointer<ConnectionState>, _ mechanism: ShortString) {
        if connection.pointee.closesOnAuthenticationFailure {
            let text =
                "ACCESS_REFUSED - Login was refused using authentication mechanism \(mechanism). "
                + "For details see the broker logfile."
            self.sendClose(
                ConnectionClose(
                    replyCode: ReplyCode.accessRefused.rawValue,
                    replyText: ShortString(truncating: text),
                    classID: 0,
                    methodID: 0
                ),
                connection
            )
        }
        // A client that answers is let go at once, and one that says `close` itself is answered, told or not.
        connection.pointee.phase = .closing
        self.timers.schedule(
            at: self.now.advanced(milliseconds: self.settings.refusalDelayMilliseconds),
            .closing(connection.pointee.id)
        )
    }

    private func receiveTuneOk(_ connection: UnsafeMutablePointer<ConnectionState>, _ method: ConnectionTuneOk) {
        let frameMax = Int(method.frameMax)
        // 0 asks for no limit, which is more than we offer.
        let offeredFrames = self.settings.frameMaxBytes == 0 ? Int.max : Int(self.settings.frameMaxBytes)
        let offeredChannels = self.settings.channelMax == 0 ? UInt16.max : self.settings.channelMax
        guard frameMax >= ShardLimits.minFrameBytes, frameMax <= offeredFrames else {
            self.refuse(connection, "negotiated frame_max = \(frameMax) is out of bounds")
            return
        }
        guard method.channelMax > 0, method.channelMax <= offeredChannels else {
            self.refuse(connection, "negotiated channel_max = \(method.channelMax) is out of bounds")
            return
        }
        connection.pointee.frameMaxBytes = frameMax
        connection.pointee.channelMax = Int(method.channelMax)
        connection.pointee.heartbeatSeconds = UInt64(method.heartbeat)
        connection.pointee.phase = .awaitingOpen
        if method.heartbeat > 0 {
            self.scheduleHeartbeat(connection)
        }
    }

    private func receiveOpen(_ connection: UnsafeMutablePointer<ConnectionState>, _ method: ConnectionOpen) {
        guard let virtualHost = self.topology.virtualHost(named: method.virtualHost) else {
            self.closeConnection(connection, .notAllowed, "vhost \(method.virtualHost) not found", ConnectionOpen.id)
            return
        }
        connection.pointee.virtualHost = virtualHost
        connection.pointee.wasOpened = true
        connection.pointee.phase = .running
        self.sendMethod(ConnectionOpenOk(), connection, channel: 0)
        self.tellOpened(connection)
        self.log(
            .info,
            "connection",
            "connection \(self.describe(connection)): user '\(connection.pointee.user)' authenticated and granted "
                + "access to vhost '\(method.virtualHost)'"
        )
    }

    // MARK: Timers

    /// Looks again after a little more than half the interval.
    ///
    /// Exactly half would race with clients that read with a time limit of half the interval before they send their own
    /// heartbeat (kombu): each of ours would begin their wait anew.
    private func scheduleHeartbeat(_ connection: UnsafeMutablePointer<ConnectionState>) {
        let wait = connection.pointee.heartbeatSeconds * 550
        self.timers.schedule(at: self.now.advanced(milliseconds: wait), .heartbeat(connection.pointee.id))
    }

    /// A timer is due.
    func fire(_ timer: ShardTimer) {
        switch timer {
        case .handshake(let id):
            guard let connection = self.connection(id) else { return }
            switch connection.pointee.phase {
            case .awaitingHeader, .awaitingStartOk, .awaitingTuneOk, .awaitingOpen:
                self.log(.error, "connection", "\(self.describe(connection)): handshake timeout")
                connection.pointee.phase = .refused
                self.effects.append(.close(id, afterMilliseconds: 0))
            case .running, .closing, .draining, .finishing, .closed, .refused:
                return
            }
        case .closing(let id):
            guard let connection = self.connection(id),
                connection.pointee.phase == .closing || connection.pointee.phase == .closed
            else { return }
            connection.pointee.phase = .refused
            self.effects.append(.close(id, afterMilliseconds: 0))
        case .heartbeat(let id):
            self.beat(id)
        case .retries(let address):
            self.fireRetries(address)
        case .acknowledgements(let address):
            self.fireAckTimeouts(address)
        case .expiry(let queue):
            self.expiryTimerFired(queue)
        case .lease(let queue):
            self.leaseTimerFired(queue)
        case .pageIn:
            self.retryReads()
        case .unread:
            self.retryUnread()
        case .pageOut:
            // At the end of this turn.
            break
        case .deaths:
            self.paging.isMoveTimerSet = false
            self.paging.areDeathsAwaited = false
            self.runDeaths()
        case .stuckDeaths(let queue):
            self.retryStuckDeaths(queue)
        }
    }

    private func beat(_ id: ConnectionID) {
        guard let connection = self.connection(id), !connection.pointee.isSocketLost else { return }
        switch connection.pointee.phase {
        case .awaitingOpen, .running, .draining:
            break
        case .awaitingHeader, .awaitingStartOk, .awaitingTuneOk, .closing, .finishing, .closed, .refused:
            return
        }
        let interval = connection.pointee.heartbeatSeconds * 1000
        // A connection that we do not read cannot show that it lives.
        if !connection.pointee.isReading {
            connection.pointee.lastReceived = self.now
        }
        if connection.pointee.lastReceived.advanced(milliseconds: 2 * interval) <= self.now {
            self.log(
                .error,
                "connection",
                "closing AMQP connection (\(self.describe(connection))): missed heartbeats from client, timeout: "
                    + "\(connection.pointee.heartbeatSeconds)s"
            )
            connection.pointee.phase = .refused
            self.effects.append(.close(id, afterMilliseconds: 0))
            return
        }
        if connection.pointee.lastSent.advanced(milliseconds: interval / 2) <= self.now,
            connection.pointee.pendingBytes == 0
        {
            let base = self.reserve(connection, 8)
            base.copyMemory(from: [FrameType.heartbeat, 0, 0, 0, 0, 0, 0, FrameLimits.frameEnd], byteCount: 8)
            self.commit(connection, 8)
        }
        self.scheduleHeartbeat(connection)
    }
}

/// User and password from the response of a SASL mechanism.
struct Credentials {
    var user: [UInt8]
    var password: [UInt8]

    /// Nil for an unknown mechanism and for a malformed response.
    init?(mechanism: ShortString, response: [UInt8]) {
        switch mechanism {
        case "PLAIN":
            // RabbitMQ takes no authorisation identity in front.
            let parts = response.split(separator: 0, omittingEmptySubsequences: false)
            guard parts.count == 3, parts[0].isEmpty else { return nil }
            self.user = Array(parts[1])
            self.password = Array(parts[2])
        case "AMQPLAIN":
            let table = response.withUnsafeBytes { try? FieldTable(validating: $0) }
            guard case .longString(let user)? = table?["LOGIN"],
                case .longString(let password)? = table?["PASSWORD"]
            else { return nil }
            self.user = user
            self.password = password
        default:
            return nil
        }
    }
}
