import AMQPProtocol
import BrokerSimulation

extension SimulatedClient.Received {
    /// The method, whether it came with content or not.
    var anyMethod: Method? {
        switch self {
        case .method(_, let method): method
        case .content(_, let method, _, _): method
        case .heartbeat, .protocolHeader: nil
        }
    }

    /// Body as text, of what has one.
    var text: String? {
        if case .content(_, _, _, let body) = self { return String(decoding: body, as: UTF8.self) }
        return nil
    }

    /// `channel method-name`, with the facts that tests compare.
    var line: String {
        switch self {
        case .heartbeat: return "heartbeat"
        case .protocolHeader: return "protocol header"
        case .content(let channel, let method, _, let body):
            return
                "\(channel) \(Self.describe(method)) \(body.count > 40 ? "\(body.count)" : String(decoding: body, as: UTF8.self))"
        case .method(let channel, let method):
            return "\(channel) \(Self.describe(method))"
        }
    }

    private static func describe(_ method: Method) -> String {
        switch method {
        case .basicDeliver(let deliver):
            "deliver \(deliver.consumerTag) #\(deliver.deliveryTag)\(deliver.redelivered ? " redelivered" : "")"
        case .basicGetOk(let ok):
            "get-ok #\(ok.deliveryTag)\(ok.redelivered ? " redelivered" : "") left \(ok.messageCount)"
        case .basicReturn(let ret): "return \(ret.replyCode) \(ret.replyText)"
        case .basicAck(let ack): "ack \(ack.deliveryTag)\(ack.multiple ? " multiple" : "")"
        case .basicNack(let nack): "nack \(nack.deliveryTag)"
        case .basicCancel(let cancel): "cancel \(cancel.consumerTag)"
        case .channelClose(let close):
            "channel.close \(close.replyCode) \(close.replyText) (\(close.classID)/\(close.methodID))"
        case .connectionClose(let close):
            "connection.close \(close.replyCode) \(close.replyText) (\(close.classID)/\(close.methodID))"
        case .connectionBlocked(let blocked): "connection.blocked \(blocked.reason)"
        case .queueDeclareOk(let ok): "queue.declare-ok \(ok.messageCount) \(ok.consumerCount)"
        case .queuePurgeOk(let ok): "queue.purge-ok \(ok.messageCount)"
        case .queueDeleteOk(let ok): "queue.delete-ok \(ok.messageCount)"
        case .basicConsumeOk(let ok): "basic.consume-ok \(ok.consumerTag)"
        default: method.id.name
        }
    }
}

extension [SimulatedClient.Received] {
    /// One line a thing received.
    var lines: [String] { self.map(\.line) }
}
