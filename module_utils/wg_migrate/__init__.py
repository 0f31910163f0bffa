"""The thinking of wg-migrate: pure plans and thin applies, shared by the Ansible modules and the on-host command."""
