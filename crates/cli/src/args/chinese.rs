//! The command line's help in Chinese.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Each command, and each argument as `command.argument`; those of every command begin with a dot.
const HELP: &[(&str, &str)] = &[
    ("", "查看并操作 OdooFleet 运行的 Odoo"),
    (".kubeconfig", "kubeconfig 文件，默认为 $KUBECONFIG 或 ~/.kube/config"),
    (".context", "kubeconfig 中的上下文"),
    (".namespace", "环境所在的命名空间；默认取上下文的命名空间，否则为 odoo"),
    (".all_namespaces", "所有命名空间"),
    (".output", "输出格式"),
    (".color", "何时使用颜色"),
    (".force", "即使由 Git 管理或需要再次确认，也强制写入"),
    (".help", "显示帮助"),
    (".version", "显示版本"),
    ("status", "查看环境的状态，以及出问题时该怎么做"),
    ("status.environment", "环境名称；不指定则列出全部"),
    ("status.watch", "持续显示变化"),
    ("start", "启动环境：先数据库，后 Odoo"),
    ("start.environments", "环境名称"),
    ("start.replicas", "Odoo 的 Pod 数量；默认为停止前的数量"),
    ("start.reason", "原因，记录在环境上"),
    ("start.wait", "等待完成"),
    ("start.timeout", "最长等待时间，例如 90s、15m、1h"),
    ("stop", "停止环境：先 Odoo，后数据库"),
    ("stop.environments", "环境名称"),
    ("stop.reason", "原因，记录在环境上"),
    ("stop.wait", "等待完成"),
    ("stop.timeout", "最长等待时间，例如 90s、15m、1h"),
    ("restart", "逐个替换环境的 Pod"),
    ("restart.environments", "环境名称"),
    ("restart.reason", "原因，记录在环境上"),
    ("restart.wait", "等待完成"),
    ("restart.timeout", "最长等待时间，例如 90s、15m、1h"),
    ("logs", "查看环境中各程序的日志"),
    ("logs.environment", "环境名称"),
    ("logs.follow", "持续显示新日志，包括重启之后和新的 Pod"),
    ("logs.all_pods", "所有 Pod：包括 cron、数据库等"),
    ("logs.previous", "上一次重启之前的日志"),
    ("logs.since", "最近这段时间内的日志，例如 10m、2h"),
    ("logs.tail", "每个 Pod 的最后若干行；筛选在这些行中进行"),
    ("logs.grep", "匹配此正则表达式的记录"),
    ("logs.level", "此级别及以上的记录"),
    ("logs.container", "其他容器，例如 prepare；默认为 Odoo 的容器"),
    ("logs.timestamps", "在每行之前显示其写入时间"),
    ("suspend", "暂停客户：停止其所有环境，数据保留"),
    ("suspend.customer", "客户名称"),
    ("suspend.reason", "原因，记录在客户上"),
    ("resume", "结束客户的暂停：之前运行的环境重新启动"),
    ("resume.customer", "客户名称"),
    ("resume.reason", "原因，记录在客户上"),
    ("upgrade", "将环境固定在模板的某个版本，或跟随模板"),
    ("upgrade.environment", "环境名称"),
    ("upgrade.to", "固定到的模板版本；latest 表示跟随最新版本"),
    ("upgrade.follow", "跟随模板的最新版本，在发布到达时升级"),
    ("upgrade.dry_run", "由 API server 试执行并显示变化，不写入任何内容"),
    ("upgrade.diff", "显示会变化的值，不写入任何内容"),
    ("upgrade.confirm_major", "确认 Odoo 或 PostgreSQL 大版本的变更，例如 17.0→18.0 或 17.0->18.0"),
    ("upgrade.reason", "原因，记录在环境上"),
    ("upgrade.wait", "等待完成"),
    ("upgrade.timeout", "最长等待时间，例如 90s、15m、1h"),
    ("update", "更换环境的插件版本，并更新模块"),
    ("update.environment", "环境名称"),
    ("update.addons", "插件的分支、标签或提交"),
    ("update.url", "有多个仓库时指定其中一个；写出 URL 的一部分即可"),
    ("update.modules", "无论版本如何都要更新的模块，用逗号分隔"),
    ("update.again", "重新将分支和标签解析为提交"),
    ("update.reason", "原因，记录在环境上"),
    ("update.wait", "等待完成"),
    ("update.timeout", "最长等待时间，例如 90s、15m、1h"),
    ("rollout", "查看并控制模板版本的发布"),
    ("rollout status", "查看模板版本发布到了哪里"),
    ("rollout status.template", "模板名称；不指定则列出全部"),
    ("rollout pause", "暂停发布：不再升级更多环境"),
    ("rollout pause.template", "模板名称"),
    ("rollout resume", "继续发布；接受使其暂停的失败"),
    ("rollout resume.template", "模板名称"),
    ("rollout approve", "批准发布的下一个阶段开始"),
    ("rollout approve.template", "模板名称"),
    ("rollout approve.stage", "阶段：Canary、Test、Staging 或 Production；默认为正在等待的阶段"),
    ("adopt", "把他人安装的 Release 纳管为环境"),
    ("adopt.release", "Helm Release 名称"),
    ("adopt.customer", "所属客户"),
    ("adopt.template", "该 Chart 的模板"),
    ("adopt.service", "用途，例如 prod；默认取 Release 名称中客户名之后的部分，否则取阶段的常用名称"),
    ("adopt.stage", "阶段；默认取 Release 的值中所写的阶段，否则为 Production"),
    ("adopt.mode", "如何处理：只观察、一致时纳管、或通过升级纳管"),
    ("adopt.dry_run", "显示将要创建的内容，由 API server 试执行，不写入任何内容"),
    ("adopt.all", "为 CSV 文件中的所有 Release 生成文件，不写入集群"),
    ("adopt.customers", "带表头的 CSV 文件：release,customer，可选 service,stage"),
    ("adopt.out", "输出目录，每个客户一个子目录"),
    ("adopt.secrets_out", "Secret 的输出目录；不指定则只列出名称"),
    ("adopt.wait", "等待完成"),
    ("adopt.timeout", "最长等待时间，例如 90s、15m、1h"),
    ("retained", "查看并清理已删除环境保留下来的内容"),
    ("retained list", "列出保留的 Release"),
    ("retained purge", "彻底删除保留的 Release，包括存储卷、数据库和密码"),
    ("retained purge.release", "Release 名称"),
    ("retained purge.confirm", "再次输入 Release 名称，以确认删除其数据"),
    ("access", "查看自己或他人的权限"),
    ("access.user", "用户，或 ServiceAccount（写作 sa:NAME 或 sa:NAMESPACE/NAME）；默认为自己"),
    ("access.groups", "用户组，或该用户所在的组；可重复"),
    ("history", "查看 Operator 最近对环境执行的操作"),
    ("history.environment", "环境名称"),
    ("values", "查看、设置和检查环境的 Helm 值"),
    ("values.environment", "环境名称"),
    ("values.layers", "说明每个值由哪一层设置"),
    ("values.diff", "显示模板的另一个版本会带来的变化"),
    ("values.helm_command", "打印可用 helm 手工完成同样安装的脚本"),
    ("values set", "设置环境自己的值"),
    ("values set.environment", "环境名称"),
    ("values set.assignments", "赋值，例如 odoo.workers=4；null 表示删除该值"),
    ("values set.json", "将值作为 JSON 读取"),
    ("values set.wait", "等待完成"),
    ("values set.timeout", "最长等待时间，例如 90s、15m、1h"),
    ("values edit", "在编辑器中修改环境自己的值"),
    ("values edit.environment", "环境名称"),
    ("values validate", "按模板检查值，不写入任何内容"),
    ("values validate.environment", "环境名称；未指定文件时检查它自己的值"),
    ("values validate.file", "包含环境、或包含所指定环境的值的文件；- 表示标准输入"),
    ("new", "根据参数或回答生成新的客户、环境或模板"),
    ("new customer", "客户"),
    ("new customer.name", "对象名称：小写字母、数字和连字符"),
    ("new customer.display_name", "公司名称"),
    ("new customer.lifecycle", "Prospect、Trial 或 Active"),
    ("new customer.expires_on", "合同到期日，例如 2027-12-31"),
    ("new customer.apply", "在集群中创建"),
    ("new customer.out", "写入文件，该文件必须尚不存在"),
    ("new environment", "某个客户的环境"),
    ("new environment.customer", "客户名称"),
    ("new environment.service", "用途，例如 prod；与客户名称一起组成 Release 名称"),
    ("new environment.stage", "Test、Staging 或 Production"),
    ("new environment.template", "模板名称"),
    ("new environment.size", "S、M 或 L"),
    ("new environment.host", "域名，例如 erp.acme.example"),
    ("new environment.apply", "在集群中创建"),
    ("new environment.out", "写入文件，该文件必须尚不存在"),
    ("new template", "模板"),
    ("new template.name", "对象名称"),
    ("new template.odoo", "Odoo 版本系列，例如 18.0"),
    ("new template.template_version", "内容的版本号"),
    ("new template.apply", "在集群中创建"),
    ("new template.out", "写入文件，该文件必须尚不存在"),
    ("template", "为尚无模板的 Chart 拟定模板"),
    ("template from-release", "根据 Release 所用的 Chart 和值拟定模板"),
    ("template from-release.release", "Helm Release 名称"),
    ("template from-release.odoo", "Odoo 版本系列，例如 18.0；默认取 Chart 中所写的版本"),
    ("template propose", "为打包的 Chart 或 Chart 目录拟定模板"),
    ("template propose.chart", "打包的 Chart（.tgz）或 Chart 目录"),
    ("template propose.odoo", "Odoo 版本系列，例如 18.0；默认取 Chart 中所写的版本"),
    ("export", "以适合 Git 的形式输出对象"),
    ("export.objects", "KIND/NAME 形式的对象：customer、template、environment，或 kubectl 的简称"),
    ("export.all", "所有客户、模板和环境，按应用顺序"),
    ("export.out", "输出目录，每个对象一个文件"),
    ("open", "在浏览器中打开环境的页面"),
    ("open.environment", "环境名称"),
    ("open.print", "只打印地址"),
    ("open.port_forward", "通过本机端口访问，按 Ctrl-C 结束：用于没有域名或域名尚未生效的环境"),
    ("open.port", "本机端口；默认任选一个空闲端口"),
    ("shell", "在 Odoo 的 Pod 中打开 shell"),
    ("shell.environment", "环境名称"),
    ("shell.command", "执行的命令，写在 -- 之后；默认为 shell"),
    ("psql", "对环境的数据库打开 psql"),
    ("psql.environment", "环境名称"),
    ("psql.arguments", "psql 的参数，写在 -- 之后"),
    ("top", "查看环境使用的 CPU 和内存"),
    ("top.environment", "环境名称，显示其各个 Pod；不指定则列出全部环境"),
    ("top.sort", "排序方式"),
    ("preflight", "检查集群是否具备所需条件，以及安装是否有问题"),
    ("report", "生成一份供他人协助排查的报告，不含机密信息"),
    ("report.environment", "环境名称；不指定则包括全部，并附上异常环境的日志"),
    ("report.file", "写入的文件；已存在时可用 --force 覆盖"),
    ("completion", "打印 shell 的自动补全脚本"),
    ("completion.shell", "shell 名称"),
    ("version", "打印本程序、Operator 和 Kubernetes 的版本"),
];

/// clap's own headings. What may be chosen is said with the text: clap's list of it would be English.
const TEMPLATE: &str = "{about}\n\n用法：{usage}\n\n{all-args}{after-help}";

/// The command with its help in Chinese.
pub fn translated(command: Command) -> Command {
    let mut command = command;
    command.build();
    translate(command, "")
}

fn translate(command: Command, path: &str) -> Command {
    let mut command = command.help_template(TEMPLATE).subcommand_help_heading("命令").subcommand_value_name("命令");
    if let Some(help) = text(path) {
        command = command.about(help).long_about(help);
    }
    let ids: Vec<String> = command.get_arguments().map(|argument| argument.get_id().to_string()).collect();
    for id in ids {
        let help = text(&format!("{path}.{id}")).or_else(|| text(&format!(".{id}")));
        command = command.mut_arg(id, |argument| {
            let heading = match () {
                () if argument.is_positional() => "参数",
                () if argument.is_global_set() => "全局选项",
                () => "选项",
            };
            let choices: Vec<String> =
                argument.get_possible_values().iter().map(|choice| choice.get_name().to_owned()).collect();
            let choices = match choices.as_slice() {
                [] => String::new(),
                _ if !argument.get_action().takes_values() => String::new(),
                choices => format!("（可选：{}）", choices.join("、")),
            };
            let argument = argument.help_heading(heading).hide_possible_values(true).hide_default_value(true);
            match help {
                Some(help) => argument.help(format!("{help}{choices}")).long_help(format!("{help}{choices}")),
                None => argument,
            }
        });
    }
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("[OPTIONS]", "[选项]").replace("<COMMAND>", "<命令>");
    command = command.override_usage(usage);
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    for name in names {
        let below = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(name, |own| translate(own, &below));
    }
    command
}

/// What is wrong with the command line, as clap found it. What it finds seldom stays in its own words.
pub fn mistake(error: &clap::Error) -> String {
    let told = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join("、"),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let argument = told(ContextKind::InvalidArg);
    let mut text = match error.kind() {
        ErrorKind::InvalidSubcommand => format!("没有命令 \"{}\"", told(ContextKind::InvalidSubcommand)),
        ErrorKind::UnknownArgument => format!("没有参数 \"{argument}\""),
        ErrorKind::MissingRequiredArgument => format!("缺少参数：{argument}"),
        ErrorKind::InvalidValue if told(ContextKind::InvalidValue).is_empty() => format!("\"{argument}\" 缺少值"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            format!("\"{}\" 不是 \"{argument}\" 的有效值", told(ContextKind::InvalidValue))
        }
        ErrorKind::ArgumentConflict => format!("\"{argument}\" 不能与 {} 同时使用", told(ContextKind::PriorArg)),
        ErrorKind::MissingSubcommand => format!("缺少命令：{}", told(ContextKind::ValidSubcommand)),
        _ => error.to_string(),
    };
    for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue] {
        if error.get(kind).is_some() {
            text = format!("{text}；您是否想输入：{}", told(kind));
        }
    }
    text
}

fn text(key: &str) -> Option<&'static str> {
    HELP.iter().find(|(own, _)| *own == key).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    fn keys(command: &Command, path: &str, all: &mut BTreeSet<String>) {
        if command.is_hide_set() {
            return;
        }
        all.insert(path.to_owned());
        for argument in command.get_arguments() {
            let id = argument.get_id();
            let global = argument.is_global_set() || ["help", "version"].contains(&id.as_str());
            all.insert(if global { format!(".{id}") } else { format!("{path}.{id}") });
        }
        for below in command.get_subcommands() {
            let own =
                if path.is_empty() { below.get_name().to_owned() } else { format!("{path} {}", below.get_name()) };
            keys(below, &own, all);
        }
    }

    #[test]
    fn all_help_is_there_in_chinese_and_nothing_beside() {
        let mut command = Cli::command();
        command.build();
        let mut wanted = BTreeSet::new();
        keys(&command, "", &mut wanted);
        let had: BTreeSet<String> = HELP.iter().map(|(key, _)| (*key).to_owned()).collect();
        assert_eq!(had.len(), HELP.len(), "a key stands twice");
        assert_eq!(had, wanted);
    }

    #[test]
    fn mistakes_are_named_in_chinese() {
        for (line, said) in [
            ("stat", "没有命令 \"stat\"；您是否想输入："),
            ("stop", "缺少参数：<ENVIRONMENT>..."),
            ("status --wach", "没有参数 \"--wach\"；您是否想输入：--watch"),
            ("status -o xml", "\"xml\" 不是 \"--output <FORM>\" 的有效值"),
            ("start acme-prod --timeout soon", "\"soon\" 不是 \"--timeout <TIMEOUT>\" 的有效值"),
            ("status --context", "\"--context <NAME>\" 缺少值"),
        ] {
            let words = std::iter::once("kubectl-odoo").chain(line.split(' '));
            let error = translated(Cli::command()).try_get_matches_from(words).unwrap_err();
            let mistake = mistake(&error);
            assert!(mistake.starts_with(said), "{line}: {mistake}");
        }
    }

    #[test]
    fn chinese_help_has_no_english_heading() {
        let mut command = translated(Cli::command());
        let help = command.render_help().to_string();
        assert!(help.contains("查看环境的状态"), "{help}");
        for heading in ["Usage", "Commands:", "Options:", "Arguments:", "[OPTIONS]", "Possible values", "default"] {
            assert!(!help.contains(heading), "{heading} in {help}");
        }
    }
}
