// The page's words in both languages.
export const WORDS = {
  en: {
    namespace: "Namespace", keys: "Keys", key: "Key", version: "Version", format: "Format",
    rollout: "Rollout", newKey: "New key", share: "Share of the devices", step: "Set share",
    promote: "Promote to all", abort: "Take back", value: "Value", comment: "Comment",
    asCanary: "To a share of the devices first:", difference: "What would change",
    publish: "Publish", rollback: "Roll back to the version before", close: "Close",
    devices: "Devices in conversation", device: "Device", gateway: "Gateway", turns: "Turns",
    versions: "Versions", none: "none", unchanged: "nothing", live: "live", lost: "connecting ...",
    token: "Open this page with the link that the center printed: it ends with #token=...",
    canary: (r) => `Canary ${r.id}: version ${r.latest} for ${r.percent} % (${r.state})`,
    confirmPromote: "Give the canary's version to everybody?", other: "中文",
    notJson: (why) => `This is not JSON: ${why}`,
  },
  zh: {
    namespace: "命名空间", keys: "配置项", key: "键", version: "版本", format: "格式",
    rollout: "灰度", newKey: "新建", share: "设备比例", step: "调整比例", promote: "全量发布",
    abort: "撤回灰度", value: "值", comment: "说明", asCanary: "先发布给部分设备：",
    difference: "将发生的变化", publish: "发布", rollback: "回滚到上一版本", close: "关闭",
    devices: "正在对话的设备", device: "设备", gateway: "网关", turns: "轮数", versions: "版本",
    none: "无", unchanged: "无变化", live: "已连接", lost: "连接中……",
    token: "请使用配置中心启动时打印的链接打开本页（以 #token=... 结尾）。",
    canary: (r) => `灰度 ${r.id}：版本 ${r.latest}，比例 ${r.percent} %（${r.state}）`,
    confirmPromote: "把灰度版本发布给所有设备？", other: "English",
    notJson: (why) => `不是合法的 JSON：${why}`,
  },
};
