internal import BrokerServer
internal import Configuration
internal import Foundation

/// The places configuration comes from, strongest first: flags, environment, file.
///
/// Defaults are not a source: whoever reads a setting knows its default.
struct ConfigurationSources: Sendable {
    /// One place, and how it calls a setting when it has to complain.
    private struct Source: Sendable {
        var provider: any ConfigProvider
        var name: @Sendable (Setting) -> String
    }

    private var sources: [Source] = []
    /// What the configuration file has that we do not know; one warning each.
    private(set) var unknownKeys: [String] = []

    /// Puts the sources together; `configFile` nil for none.
    init(
        flags: [Setting: ConfigValue],
        environment: [String: String],
        configFile: String?
    ) async throws(StartFailure) {
        let values = Dictionary(uniqueKeysWithValues: flags.map { (AbsoluteConfigKey($0.components), $1) })
        self.sources.append(Source(provider: InMemoryProvider(name: "flags", values: values)) { $0.flag })
        // Other programs' variables are none of our business, and ours are found under the prefix only.
        let variables = EnvironmentVariablesProvider(
            environmentVariables: environment.filter { $0.key.hasPrefix("MARTLET_") },
            secretsSpecifier: .specific([Setting.defaultPassword.environmentVariable])
        )
        self.sources.append(
            Source(provider: variables.prefixKeys(with: "martlet")) { $0.environmentVariable }
        )
        if let configFile {
            try await self.addFile(configFile)
        }
    }

    private mutating func addFile(_ path: String) async throws(StartFailure) {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw StartFailure(
                "cannot read configuration file \(path): \(Self.reason(of: error))",
                isConfiguration: true
            )
        }
        do {
            let provider = try await FileProvider<JSONSnapshot>(
                parsingOptions: .init(secretsSpecifier: .specific([Setting.defaultPassword.rawValue])),
                config: ConfigReader(
                    provider: InMemoryProvider(
                        values: ["filePath": ConfigValue(.string(path), isSecret: false)]
                    )
                )
            )
            self.sources.append(Source(provider: provider) { "\($0.rawValue) in \(path)" })
        } catch {
            throw StartFailure(
                "configuration file \(path) is not a JSON object of settings",
                isConfiguration: true
            )
        }
        let known = Set(Setting.allCases.map(\.rawValue))
        self.unknownKeys = Self.keys(in: try? JSONSerialization.jsonObject(with: data), below: "")
            .filter { !known.contains($0) }
            .sorted()
    }

    /// The paths of all values in a tree of objects.
    private static func keys(in value: Any?, below path: String) -> [String] {
        guard let object = value as? [String: Any] else { return path.isEmpty ? [] : [path] }
        return object.flatMap { name, member in
            self.keys(in: member, below: path.isEmpty ? name : "\(path).\(name)")
        }
    }

    /// The system's word for why a file cannot be read, without Foundation's sentence around it.
    private static func reason(of error: any Error) -> String {
        let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
        let code = underlying.flatMap { $0.domain == NSPOSIXErrorDomain ? $0.code : nil }
        return code.map { String(cString: strerror(CInt($0))) } ?? error.localizedDescription
    }

    // MARK: Reading

    /// A whole number within bounds.
    func integer(_ setting: Setting, in range: ClosedRange<Int>) throws(StartFailure) -> Int? {
        let what = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let (content, name) = try self.lookup(setting, .int, what), case .int(let value) = content
        else { return nil }
        guard range.contains(value) else { throw Self.failure(name, what) }
        return value
    }

    /// A text that is not empty.
    func text(_ setting: Setting) throws(StartFailure) -> String? {
        guard let (content, name) = try self.lookup(setting, .string, "a text"), case .string(let value) = content
        else { return nil }
        guard !value.isEmpty else { throw Self.failure(name, "a text that is not empty") }
        return value
    }

    /// One of a few words.
    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ setting: Setting,
        of type: Choice.Type
    ) throws(StartFailure) -> Choice? {
        let what = "one of \(type.allCases.map(\.rawValue).joined(separator: ", "))"
        guard let (content, name) = try self.lookup(setting, .string, what), case .string(let value) = content
        else { return nil }
        guard let choice = Choice(rawValue: value) else { throw Self.failure(name, what) }
        return choice
    }

    /// Yes or no.
    func flag(_ setting: Setting) throws(StartFailure) -> Bool? {
        guard let (content, _) = try self.lookup(setting, .bool, "true or false"), case .bool(let value) = content
        else { return nil }
        return value
    }

    /// A list of texts; separated by commas in the environment.
    func texts(_ setting: Setting) throws(StartFailure) -> [String]? {
        guard let (content, name) = try self.lookup(setting, .stringArray, "a list of texts"),
            case .stringArray(let values) = content
        else { return nil }
        guard !values.isEmpty else { throw Self.failure(name, "a list that is not empty") }
        return values
    }

    /// An amount of memory, written as ``ByteSize`` says; a bare number is octets.
    func size(_ setting: Setting, total: UInt64, atLeast minimum: UInt64) throws(StartFailure) -> UInt64? {
        let what = "a size such as 512MiB, 2GB or 40%, at least \(minimum) octets"
        for source in self.sources {
            let key = AbsoluteConfigKey(setting.components)
            let text: String
            if case .string(let value) = try? source.provider.value(forKey: key, type: .string).value?.content {
                text = value
            } else if case .int(let value) = try? source.provider.value(forKey: key, type: .int).value?.content {
                text = "\(value)"
            } else if (try? source.provider.value(forKey: key, type: .int).value) == .some(nil) {
                continue
            } else {
                throw Self.failure(source.name(setting), what)
            }
            guard let size = ByteSize.parse(text, total: total), size >= minimum else {
                throw Self.failure(source.name(setting), what)
            }
            return size
        }
        return nil
    }

    /// The strongest source's value, and how that source calls the setting.
    private func lookup(
        _ setting: Setting,
        _ type: ConfigType,
        _ what: String
    ) throws(StartFailure) -> (ConfigContent, String)? {
        for source in self.sources {
            do {
                let result = try source.provider.value(forKey: AbsoluteConfigKey(setting.components), type: type)
                if let value = result.value { return (value.content, source.name(setting)) }
            } catch {
                throw Self.failure(source.name(setting), what)
            }
        }
        return nil
    }

    private static func failure(_ name: String, _ what: String) -> StartFailure {
        StartFailure("\(name) must be \(what)", isConfiguration: true)
    }
}
