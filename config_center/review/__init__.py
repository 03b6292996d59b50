"""What has to be agreed on before it is published: policies, the freeze, drafts and approval."""
